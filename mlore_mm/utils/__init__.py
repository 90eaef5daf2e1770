"""Helpers that depend on no other package of mlore_mm: files, text, seeds, threads, versions."""
