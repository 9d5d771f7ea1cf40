"""Turn the result of a category into rows of the warehouse, and a stored bank back into a bank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa

from anomaly_assets.evaluation.bank import Bank
from anomaly_assets.evaluation.detector import CategoryResult, ImageScore
from anomaly_assets.evaluation.inputs import Subject
from anomaly_assets.evaluation.protocol import BANK, ROLES, TEST, Roles, Use
from anomaly_assets.evaluation.suspects import suspects_of
from anomaly_assets.tables.arrow import arrow_schema
from anomaly_assets.tables.registry import TABLES

MEASURED = "measured"
_LABELS = {0: "good", 1: "anomalous", -1: "unknown"}


def rows_of(
    subject: Subject,
    roles: Roles,
    result: CategoryResult,
    *,
    backbone: str,
    seconds: float,
    run_id: str | None,
) -> dict[str, pa.Table]:
    """Return the rows of a result, by table.

    Args:
        subject: What was evaluated.
        roles: What each image was used for.
        result: Its result.
        backbone: Name of the network.
        seconds: Duration of the evaluation.
        run_id: Run that evaluated it.
    """
    bank, counts = result.bank, result.counts
    key = subject.key._asdict()
    test = [use.image.label_index for use in roles.of(TEST)]
    of_key: dict[str, Any] = {
        **key,
        "status": result.no_number or MEASURED,
        "inputs": subject.digest,
        "backbone": backbone,
        "bank_sha256": bank.digest if bank else None,
        "bank_images": counts[BANK],
        "bank_patches": len(bank) if bank else 0,
        "images_scored": len(result.scores),
        "images_good": test.count(0),
        "images_anomalous": test.count(1),
        "left_out": [(why, count) for why, count in counts.items() if count and why not in ROLES],
        "threshold": result.threshold,
        "threshold_source": result.threshold_source,
        "evaluated_at": datetime.now(timezone.utc),
        "seconds": seconds,
        "run_id": run_id,
    }
    of_images = [({"image_id": each.use.image.image_id, **key}, each) for each in result.scores]
    scored = {each.use.image.image_id: each for each in result.scores}
    tables = {
        "evaluations": [of_key],
        "baseline_scores": [
            {"image_id": use.image.image_id, **key, **_score(use, scored.get(use.image.image_id))}
            for use in roles.uses
        ],
        "suspect_images": [{**key, **asdict(each)} for each in suspects_of(result)],
        "baseline_metrics": [
            {**key, **asdict(row), "note": row.note or None} for row in result.metrics
        ],
        "baseline_maps": [
            {
                **names,
                "height": each.map.values.shape[0],
                "width": each.map.values.shape[1],
                "low": each.map.low,
                "high": each.map.high,
                "map": each.map.values.tobytes(),
            }
            for names, each in of_images
            if each.map is not None
        ],
        "baseline_vectors": [
            {**names, "vector": each.vector.astype("<f4").tobytes()} for names, each in of_images
        ],
        "baseline_banks": [] if bank is None else [{**key, **_stored(bank)}],
    }
    return {name: table_of(name, rows) for name, rows in tables.items()}


def _score(use: Use, scored: ImageScore | None) -> dict[str, Any]:
    return {
        "content_sha256": use.image.content,
        "role": use.role,
        "reason": use.reason or None,
        "label": _LABELS[use.image.label_index],
        "score": scored.score if scored else None,
        "out_of_fold_score": scored.out_of_fold_score if scored else None,
        "above_threshold": scored.is_above_threshold if scored else None,
    }


def table_of(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as an Arrow table with the columns and types of a table of the warehouse."""
    return pa.Table.from_pylist([dict(row) for row in rows], arrow_schema(TABLES[name]))


def _stored(bank: Bank) -> dict[str, Any]:
    return {
        "seed": bank.seed,
        "bank_sha256": bank.digest,
        "patches": len(bank),
        "dimensions": bank.patches.shape[1],
        "folds": bank.folds.astype(np.int8).tobytes(),
        "bank": bank.patches.astype("<f4").tobytes(),
    }


def bank_of(row: tuple[Any, ...]) -> Bank:
    """Return a bank from a row of `baseline_banks`: seed, digest, patches, dimensions, folds, bank."""
    seed, digest, patches, dimensions, folds, content = row
    return Bank(
        np.frombuffer(content, "<f4").reshape(patches, dimensions),
        np.frombuffer(folds, np.int8),
        seed,
        digest,
    )
