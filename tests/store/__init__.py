"""Tests of the store, a package so that its `conftest` has a name of its own for the type checker."""
