"""What `status` is measured against: the same ledger read and printed by PyMongo.

python status_pymongo.py URI DATABASE
"""

import sys
from collections import Counter
from typing import Any

import pymongo

MARKS = {"applied": "✓", "rolled_back": "✗"}


def main() -> None:
    """Prints the lines that scripts look for."""
    with pymongo.MongoClient[dict[str, Any]](sys.argv[1]) as client:
        records = list(client[sys.argv[2]]["migrations"].find().sort("created_at", 1))
    states = Counter(record["status"] for record in records)
    print("Migration Status:")
    print(f"  Total migrations: {len(records)}")
    print(f"  Applied: {states['applied']}")
    print(f"  Pending: {states['pending']}")
    print(f"  Rolled back: {states['rolled_back']}")
    print("Migration History:")
    for record in records:
        print(f"  {MARKS.get(record['status'], '○')} {record['name']} - {record['status']}")


if __name__ == "__main__":
    main()
