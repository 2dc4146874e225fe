from collections.abc import Sequence

from edulearn_migrate import AssessmentModelMigration as AssessmentModelMigration
from edulearn_migrate import MigrationManager as MigrationManager
from edulearn_migrate.cli import MigrationCLI as MigrationCLI

__all__ = ["AssessmentModelMigration", "MigrationCLI", "MigrationManager", "main"]

def main(argv: Sequence[str] | None = None) -> int: ...
