"""Text for people.

counts.py    numbers of things, in the singular and the plural
markdown.py  tables in Markdown
"""
