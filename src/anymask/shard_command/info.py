"""What is in a shard set, from its manifest alone."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from anymask.data.shards import ShardSet

__all__ = ["described", "shard_table"]

MANY = 30
"""Shards, of which the table shows no more."""


def described(shards: ShardSet) -> dict[str, Any]:
    """Plain numbers of the whole set."""
    masks = [shard.masks for shard in shards.shards]
    total = shards.samples.total()
    size = sum(shard.bytes for shard in shards.shards)
    known = [number for number in masks if number is not None]
    return {
        "name": shards.name,
        "fingerprint": shards.fingerprint(),
        "shards": len(shards.shards),
        "samples": dict(sorted(shards.samples.items())),
        "masks": sum(known) if len(known) == len(masks) else None,
        "bytes": size,
        "bytes_per_sample": round(size / total) if total else None,
        "masks_per_sample": round(sum(known) / total, 2) if total and len(known) == len(masks) else None,
        "indexed": sum(shard.index is not None for shard in shards.shards),
        "with_checksum": sum(shard.sha256 is not None for shard in shards.shards),
    }


def shard_table(shards: ShardSet) -> Table:
    """A row for each of the first shards, and one for all."""
    table = Table("shard", "records", "masks", "bytes", "index", "checksum", title=shards.name)
    for shard in shards.shards[:MANY]:
        records = ", ".join(f"{number:,} {source}" for source, number in shard.samples.items())
        masks = "?" if shard.masks is None else f"{shard.masks:,}"
        name = shard.url.rpartition("/")[2]
        table.add_row(name, records, masks, f"{shard.bytes:,}", _said(shard.index), _said(shard.sha256))
    if len(shards.shards) > MANY:
        table.add_row(f"… {len(shards.shards) - MANY} more", "", "", "", "", "")
    whole = described(shards)
    masks = "?" if whole["masks"] is None else f"{whole['masks']:,}"
    records = ", ".join(f"{number:,} {source}" for source, number in whole["samples"].items())
    sizes = f"{whole['bytes']:,}"
    if whole["masks_per_sample"] is not None:
        table.caption = f"{whole['bytes_per_sample']:,} bytes and {whole['masks_per_sample']} masks a record"
    table.add_row(f"all {whole['shards']}", records, masks, sizes, str(whole["indexed"]), str(whole["with_checksum"]))
    return table


def _said(value: str | None) -> str:
    return "yes" if value else "no"
