"""Tests of the pages that a person sees."""
