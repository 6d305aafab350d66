"""Parts of the packet link: namespaces, the path between them, and what stands at its ends."""
