"""Importers: logs of other tools, told apart by content, as records. One file a format; ``importer`` is what all share."""
