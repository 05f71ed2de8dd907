"""Commands of those who work on the project: pages of the docs, pictures, releases."""
