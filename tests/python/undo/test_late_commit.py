"""The last commit of a killed rollback that arrives after the next run has looked at the record."""

from __future__ import annotations

from pymongo.uri_parser import parse_uri

from conftest import Cli
from harness import (
    Documents,
    holds,
    record_of,
    start_holding,
    stop_in_chunk,
    update,
    write_migration,
)
from rewriting import Disguise, Message, Reply, disguised

MANY = 24_000


class LateCommit(Disguise):
    """Before the lease is taken, what a killed run had sent last is carried out."""

    def __init__(self, db: Documents, migration: str) -> None:
        self.db = db
        self.migration = migration
        self.arrived = False

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if name == "findAndModify" and command[name] == "migrations_lock" and not self.arrived:
            self.arrived = True
            self.db["migrations"].delete_many({"kind": "part"})
            self.db["migrations"].update_one(
                {"_id": self.migration},
                {"$set": {"status": "rolled_back"}, "$unset": {"progress": "", "captures": ""}},
            )
            headers = {"_id.op": -1, "migration": self.migration, "exact": False}
            self.db["migrations_undo"].update_many(headers, {"$set": {"undone": True}})
        return None


def test_it_counts_as_done_by_the_command_that_is_run_again(
    db: Documents, cli: Cli, server_uri: str
) -> None:
    db["c"].insert_many({"_id": at, "text": "x" * 300} for at in range(MANY))
    migration = write_migration(cli.directory, 1, [update("c", {}, {"$inc": {"times": 1}})])
    assert cli("apply").code == 0
    process = start_holding(db, lambda: cli.start("rollback", migration, "--exact"))
    stop_in_chunk(db, process, migration)
    process.kill()
    process.wait()
    assert holds(db, process)
    killed = record_of(db, migration)["run"]
    (_, port), *_ = parse_uri(server_uri)["nodelist"]
    late = LateCommit(db, migration)
    with disguised(int(port), late) as uri:
        result = cli("rollback", migration, "--exact", "--uri", uri)
    assert late.arrived, "it was not put to the test"
    assert result.code == 0, result
    assert f"✓ Rolled back migration: {migration}" in result.stdout
    assert record_of(db, migration)["run"] == killed
    # Once more it is a mistake.
    assert cli("rollback", migration, "--exact").code != 0
