"""The report of a run, made from its folder alone: figures, tables, HTML and Markdown."""
