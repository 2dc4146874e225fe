"""The verbs, each written once: its signature, its docstring, and the native call it makes.

`Migrator` carries a verb out where it is called. `AsyncMigrator` takes each from `Migrator` and
awaits it.
"""
