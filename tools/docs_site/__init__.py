"""The documentation site: the Markdown of this repository, in both languages, as pages that work without a network."""
