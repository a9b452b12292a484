"""Tests of the HTTP interface, through the real app."""
