"""Keeps and shows numbers: records, the store, tables and their renderings."""
