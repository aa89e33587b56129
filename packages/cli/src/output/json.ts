// JSON text of results. Numbers that a double cannot hold (inodes, sums of bytes) are written exactly.

/** As JSON.stringify, with bigints as numbers. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? exactNumber(part) : part));
}

function exactNumber(value: bigint): unknown {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  return rawJSON(value.toString());
}
