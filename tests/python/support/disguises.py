"""What stands in for servers that cannot be had: newer versions, and the router of a cluster."""

from __future__ import annotations

import random

from rewriting import Disguise, Message, Reply, failure

BUCKETS = "system.buckets."
HELLO = ("hello", "isMaster", "ismaster")
# The reads to which an operator's default time limit applies (MongoDB manual, `defaultMaxTimeMS`).
LIMITED = ("find", "aggregate", "count", "distinct", "dbHash")

# The `maxWireVersion` of `hello`.
WIRE = {(7, 0): 21, (8, 0): 25, (8, 3): 28, (9, 0): 29}


class Version(Disguise):
    """A server of another version.

    From 8.0 on its operator has set `defaultMaxTimeMS` so low that a read succeeds only if it says
    its own limit. From 8.3 on it has no `system.buckets` collections.
    """

    def __init__(self, *version: int) -> None:
        self.version = version
        self.unlimited = 0
        """How many reads said their own limit."""
        self.raw = 0
        """How many commands were about the buckets of a time-series collection."""

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if self.version >= (8, 0) and name in LIMITED:
            # The driver's and the tests' own reads of the server's state come on `admin`.
            if "maxTimeMS" not in command and command["$db"] != "admin":
                return failure(50, "MaxTimeMSExpired", "operation exceeded time limit")
            self.unlimited += 1
        return self._buckets(name, command) if self.version >= (8, 3) else None

    def answer(self, name: str, _command: Message, answer: Message) -> Message | None:
        if name in HELLO:
            wire = max(wire for since, wire in WIRE.items() if since <= self.version)
            return {**answer, "maxWireVersion": wire}
        if name == "buildInfo":
            version = (*self.version, 1)[:3]
            return {**answer, "version": ".".join(map(str, version)), "versionArray": [*version, 0]}
        if self.version >= (8, 3):
            return _without_buckets(name, answer)
        return None

    def _buckets(self, name: str, command: Message) -> Message | Reply | None:
        """What the server here is asked, which has buckets in a collection of their own."""
        target = command[name]
        if isinstance(target, str) and target.startswith(BUCKETS):
            return failure(73, "InvalidNamespace", f"Invalid namespace specified '{target}'")
        if name == "listCollections":
            wanted = command.get("filter", {}).get("name")
            if not isinstance(wanted, str):
                return None
            return {**command, "filter": {"name": {"$in": [wanted, BUCKETS + wanted]}}}
        if name == "dbHash":
            # A name is of what is there: a view has no hash, and neither have measurements.
            asked = command["collections"]
            return {**command, "collections": [*asked, *(BUCKETS + it for it in asked)]}
        if not command.get("rawData"):
            return None
        self.raw += 1
        changed = {key: value for key, value in command.items() if key != "rawData"}
        return {**changed, name: BUCKETS + target}


def _without_buckets(name: str, answer: Message) -> Message | None:
    if name == "dbHash" and "collections" in answer:
        hashes = {key.removeprefix(BUCKETS): value for key, value in answer["collections"].items()}
        return {**answer, "collections": hashes}
    batch = answer.get("cursor", {}).get("firstBatch")
    if name != "listCollections" or batch is None:
        return None
    stored = {it["name"]: it.get("info", {}).get("uuid") for it in batch}
    shown = []
    names = {it["name"] for it in batch}
    for entry in batch:
        if entry["name"].startswith(BUCKETS):
            own = entry["name"].removeprefix(BUCKETS)
            if own not in names:  # looked for by its identifier
                shown.append({**entry, "name": own, "type": "timeseries"})
            continue
        uuid = stored.get(BUCKETS + entry["name"])
        if uuid is not None:
            entry = {**entry, "info": {**entry.get("info", {}), "uuid": uuid}}
        shown.append(entry)
    return {**answer, "cursor": {**answer["cursor"], "firstBatch": shown}}


class Router(Disguise):
    """A `mongos` before two shards.

    Args:
        sharded: names of collections that are sharded.
        seed: of the order in which documents come that nobody has sorted.
    """

    # What `hello` has of a replica set.
    OF_A_SET = (
        "setName", "setVersion", "hosts", "primary", "me", "electionId", "lastWrite", "secondary",
        "passives", "arbiters", "tags",
    )  # fmt: skip
    ABSENT = ("dbHash", "replSetGetStatus", "replSetGetConfig", "replSetStepDown")

    def __init__(self, sharded: tuple[str, ...] = (), seed: int = 1) -> None:
        self.sharded = sharded
        self.shuffled = 0
        """How many answers came in another order than the server's."""
        self.split = 0
        """How many answers came once per shard."""
        self._random = random.Random(seed)
        self._unsorted: set[int] = set()

    def command(self, name: str, command: Message) -> Message | Reply | None:
        if name in self.ABSENT:
            return failure(59, "CommandNotFound", f"no such command: '{name}'")
        if name in ("getParameter", "setParameter"):
            unknown = next((it for it in command if it.startswith("minSnapshotHistory")), None)
            if unknown is not None:
                return failure(72, "InvalidOptions", f"no option found to get: {unknown}")
        if name == "renameCollection" and command.get("dropTarget"):
            target = command["to"].partition(".")[2]
            assert target not in self.sharded, f"{target} would lose its sharding"
        return None

    def answer(self, name: str, command: Message, answer: Message) -> Message | None:
        if name in HELLO:
            kept = {key: value for key, value in answer.items() if key not in self.OF_A_SET}
            return {**kept, "msg": "isdbgrid"}
        if name == "collStats" and answer["ok"]:
            return {**answer, "sharded": command["collStats"] in self.sharded}
        cursor = answer.get("cursor", {})
        part = next((it for it in ("firstBatch", "nextBatch") if it in cursor), None)
        if part is None:
            return None
        batch = cursor[part]
        stages = command.get("pipeline") or [{}]
        if name == "aggregate" and "$collStats" in stages[0]:
            self.split += 1
            batch = [half for stats in batch for half in _halves(stats)]
        elif self._is_unsorted(name, command, cursor["id"]) and len(batch) > 1:
            self.shuffled += 1
            batch = self._random.sample(batch, len(batch))
        return {**answer, "cursor": {**cursor, part: batch}}

    def _is_unsorted(self, name: str, command: Message, cursor: int) -> bool:
        if name == "getMore":
            return command["getMore"] in self._unsorted
        # A capped collection is never sharded, and keeps its order.
        natural = "$natural" in (command.get("hint") or {})
        unsorted = name == "find" and not command.get("sort") and not natural
        if unsorted:
            self._unsorted.add(cursor)
        return unsorted


def _halves(stats: Message) -> list[Message]:
    """Statistics of a collection as each of two shards has them."""
    whole = stats["storageStats"]
    first = {key: whole[key] // 3 for key in ("count", "size") if key in whole}
    second = {key: whole[key] - part for key, part in first.items()}
    return [
        {**stats, "shard": shard, "storageStats": {**whole, **part}}
        for shard, part in (("one", first), ("two", second))
    ]
