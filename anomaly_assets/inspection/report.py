"""Format the result of an inspection as plain text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from anomaly_assets.datasets.known import official_counts
from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.datasets.record import split_name
from anomaly_assets.datasets.words import UNKNOWN, UNSPECIFIED
from anomaly_assets.inspection import foretold
from anomaly_assets.inspection.check import BY_MASK, Found, Inspection

EXAMPLES = 3
"""Maximum number of files that are named for each reason."""

_MOST_LINES = 40
"""Maximum number of lines in the table of images; the other categories are added up."""

_LEAST_IMAGES = 2
_EVIDENCE = {
    "labels_file": "labels file",
    "mask": "mask content",
    "unmasked": "no mask in an annotated category",
    "default": "key label",
    "none": "nothing",
}


def report(found: Inspection) -> str:
    """Return the report as lines of plain text."""
    dataset = found.dataset
    lines = [f"[{dataset.name}] {shown(dataset.title)}, {found.root_uri}"]
    lines += _images(found)
    lines += _masks(found)
    lines += _strays(found)
    if oddities := list(odd(found)):
        lines += ["", "Look at this:"]
        lines += [f"  - {sentence}" for sentence in oddities]
    return "\n".join(lines)


def _images(found: Inspection) -> list[str]:
    categories = {image.category for image in found.images}
    ignored = found.catalog.ignored
    junk = (
        f"; {counted(ignored, 'file')} of the system or of documentation left out"
        if ignored
        else ""
    )
    lines = [
        f"  {counted(len(found.images), 'image')} in {_categories(len(categories))}, "
        f"{counted(found.masks, 'mask')}, {counted(found.catalog.stray_files.num_rows, 'stray')}{junk}"
    ]
    rows = [
        (shown(category), split, label, _EVIDENCE.get(source, source), f"{count:,}")
        for (category, split, label, source), count in sorted(found.counts.items())
    ]
    if not rows:
        return lines
    more = rows[_MOST_LINES:]
    table = [("category", "split", "label", "by", "images"), *rows[:_MOST_LINES]]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    lines.append("")
    for row in table:
        cells = [text.ljust(width) for text, width in zip(row[:4], widths, strict=False)]
        lines.append(f"  {'  '.join(cells)}  {row[4].rjust(widths[4])}")
    if more:
        images = sum(int(row[4].replace(",", "")) for row in more)
        lines.append(f"  and {len(more)} more lines with {images:,} images")
    return lines


def _masks(found: Inspection) -> list[str]:
    if not found.masks:
        return []
    read = [image for image in found.images if "mask" in image.sides]
    defects = sum(image.sides["mask"] == "anomalous" for image in read)
    which = (
        "All masks were read"
        if len(read) == found.masks
        else (
            f"{len(read):,} of {found.masks:,} masks were read, chosen by a digest of their paths"
        )
    )
    lines = [
        "",
        f"  {which}: {defects:,} have defective pixels, {len(read) - defects:,} have none.",
    ]
    if waiting := sum(image.label == BY_MASK for image in found.images):
        share = defects / max(1, len(read))
        lines.append(
            f"  Masks that were not read decide about {waiting:,} more images; by those that were read, "
            f"about {share:.0%} of them are anomalous."
        )
    return lines


def _strays(found: Inspection) -> list[str]:
    if not found.strays:
        return []
    lines = ["", "  Stray files, which belong to no image:"]
    for reason, paths in found.strays.items():
        lines.append(f"  {reason}: {len(paths):,}")
        for path in paths[:EXAMPLES]:
            detail = found.details.get(path)
            lines.append(f"    {shown(path)}{f' ({shown(detail)})' if detail else ''}")
    return lines


def odd(found: Inspection) -> Iterator[str]:
    """Yield sentences about probable mistakes in the data or its declaration, each with a remedy."""
    yield from map(shown, found.catalog.notes)
    if found.catalog.empty_because:
        yield found.catalog.empty_because
        return
    if (other := found.catalog.other) is not None:
        yield (
            f"The root looks like {other.title}: its declaration finds masks or labels, and this one finds "
            f'none. A run refuses it. Write like = "{other.name}", or declare the masks.'
        )
    yield from _odd_labels(found)
    yield from found.sample.about_masks
    yield from _odd_masks(found)
    yield from _odd_counts(found)
    if found.refusal:
        yield found.refusal
    yield from foretold.unusable(found.dataset, found.sample)
    yield from foretold.declared_strays(found.dataset, found.catalog)
    yield from foretold.thumbnails(found.sample)
    unsupported = found.strays.get("unsupported_suffix", ())
    if len(unsupported) >= _LEAST_IMAGES:
        suffixes = Counter(split_name(path.rpartition("/")[2])[1] for path in unsupported)
        named = ", ".join(
            f"{count:,} with {shown(suffix) or 'no suffix'}"
            for suffix, count in suffixes.most_common(3)
        )
        yield f"Files in the place of images have another suffix: {named}. See the key `formats`."


def _odd_labels(found: Inspection) -> Iterator[str]:
    by_label = Counter(image.label for image in found.images)
    if found.images and not by_label["good"] and not by_label[BY_MASK]:
        types = Counter(image.defect_type for image in found.images if image.defect_type)
        del types[UNSPECIFIED]  # not the name of a folder
        if types:
            (name, count), *_ = types.most_common(1)
            yield (
                f"No folder means good; `{shown(name)}` has {counted(count, 'image')}. If these are good, "
                f'write words = {{ good = ["{shown(name)}"] }}.'
            )
        else:
            yield "No image is good."
    if unknown := by_label[UNKNOWN]:
        reasons = []
        if found.masks:
            reasons.append('unmasked = "good", if images without a mask are good')
        reasons.append('label = "good", if images without other evidence are good')
        yield (
            f"{counted(unknown, 'image')} without evidence for a label, such as "
            f"{_first(found, UNKNOWN)}: {'; or '.join(reasons)}. Unlabelled images are loaded as unknown."
        )
    disagreeing = [image for image in found.images if len(set(image.sides.values())) > 1]
    if disagreeing:
        image = disagreeing[0]
        sides = " and ".join(f"{label} by {source}" for source, label in image.sides.items())
        yield (
            f"{counted(len(disagreeing), 'image')} with evidence for two labels, such as "
            f"{shown(image.path)}: {sides}."
        )
    if found.dataset.training_is_good:
        bad = [each for each in found.images if each.split == "train" and each.label == "anomalous"]
        if bad:
            yield (
                f"training_is_good is declared, but {counted(len(bad), 'training image')} anomalous, such "
                f"as {shown(bad[0].path)}."
            )


def _odd_masks(found: Inspection) -> Iterator[str]:
    orphans = [
        path
        for reason in ("orphan_mask", "ambiguous_mask", "duplicate_mask")
        for path in found.strays.get(reason, ())
    ]
    if orphans:
        yield (
            f"{counted(len(orphans), 'mask')} without an image of their own, such as {shown(orphans[0])}: "
            "a mask needs the same text as its image in every field of its pattern."
        )
    by_category: dict[str, list[Found]] = defaultdict(list)
    for image in found.images:
        if image.label == "anomalous":
            by_category[image.category].append(image)
    bare = [
        image
        for images in by_category.values()
        if any(each.masks for each in images)
        for image in images
        if not image.masks and "mask" not in image.sides
    ]
    if bare:
        yield (
            f"{counted(len(bare), 'anomalous image')} without a mask in categories with masks, such as "
            f"{shown(bare[0].path)}."
        )


def _odd_counts(found: Inspection) -> Iterator[str]:
    expected: dict[tuple[str | None, str], int] = defaultdict(int)
    for count in official_counts([found.dataset]):
        expected[count.category, count.split] += count.images
    listed = Counter((image.category, image.split) for image in found.images)

    def there(category: str | None, split: str) -> int:
        return sum(
            images
            for place, images in listed.items()
            if category in (None, place[0]) and split in ("all", place[1])
        )

    differing = [
        f"{shown(category or 'all categories')}, {split}: {there(category, split):,} of {images:,}"
        for (category, split), images in sorted(expected.items(), key=str)
        if there(category, split) != images
    ]
    if differing:
        yield f"The declared counts differ: {'; '.join(differing[:5])}{' …' if len(differing) > 5 else ''}."


def _first(found: Inspection, label: str) -> str:
    return next(shown(image.path) for image in found.images if image.label == label)


def _categories(count: int) -> str:
    return "1 category" if count == 1 else f"{count:,} categories"
