"""The subject of the study: pure machines of the strategies and what they are composed of."""
