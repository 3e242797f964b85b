"""Views of one table: CSV, LaTeX, Markdown, HTML, terminal."""
