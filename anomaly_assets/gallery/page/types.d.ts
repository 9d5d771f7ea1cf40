/** Types of the page's scripts, for `tsc --checkJs`; not part of the gallery. */

/** A column with few different values. One code per row, -1 for none; or, of checks, several. */
interface Field {
  key: string;
  title: string;
  /** Values as the address and SQL name them. */
  words: string[];
  /** Values as people read them. */
  labels: string[];
  /** A sentence about each value. */
  notes?: string[];
  codes?: Int32Array;
  /** Of several values per row: those of row r are items[starts[r]] to items[starts[r + 1] - 1]. */
  starts?: Int32Array;
  items?: Int32Array;
}

/** A column of numbers; NaN for none. */
interface Measure {
  key: string;
  title: string;
  kind: "share" | "number" | "time";
  values: Float64Array;
  note?: string;
}

/** The columns of one snapshot, or of two that are compared. */
interface Table {
  count: number;
  snapshot: { id: string; published_at: string };
  recipe: string | null;
  ids: string[];
  lowered: string[];
  content: string[];
  fields: Map<string, Field>;
  measures: Map<string, Measure>;
  packs: string[];
  pack: Int32Array;
  slot: Int32Array;
  details: string[];
  detail: Int32Array;
  orders: Map<string, Int32Array>;
  /** Of two snapshots: the older one, and for each row the same image in it, or -1. */
  previous: Table | null;
  before: Int32Array | null;
}

/** Everything that the address holds. */
interface View {
  chosen: Record<string, string[]>;
  ranges: Record<string, [number | null, number | null]>;
  search: string;
  sort: string;
  image: string;
  against: string;
}

/** Rows that a view shows, in order, and the counts beside its filters. */
interface Result {
  rows: Int32Array;
  /** Per field: the number of rows without a value, then one number per word. */
  counts: Map<string, Int32Array>;
}

interface Details {
  columns: Record<string, unknown>;
  image?: string | null;
  mask?: (number[] | number[][])[] | null;
  map?: string | null;
  attributes?: Record<string, unknown> | null;
}

interface Snapshot {
  format: number;
  index: string;
  previous: { id: string; published_at: string; index: string }[];
  snapshot: { id: string; published_at: string; images: number };
}

/** The JSON of one snapshot, as the index file holds it. */
interface Index {
  format: number;
  snapshot: { id: string; published_at: string };
  count: number;
  recipe?: string | null;
  words: Record<string, any[]>;
  columns: Record<string, any[]>;
  checks?: number[][];
  attributes?: Record<string, { type: string; words?: string[]; codes?: number[]; values?: (number | null)[] }>;
  packs: string[];
  details?: string[];
}
