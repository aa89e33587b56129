// JSON text of results. Numbers that a double cannot hold (inodes, sums of bytes) are written exactly.

/** As JSON.stringify, with bigints as numbers. */
export function jsonText(value: unknown): string {
  return (Array.isArray(value) ? plainText(value) : undefined) ?? JSON.stringify(value, exactly);
}

/** A list is quickly written when there is no bigint in it; else undefined. */
function plainText(list: readonly unknown[]): string | undefined {
  try {
    return JSON.stringify(list);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function exactly(_: string, part: unknown): unknown {
  return typeof part === 'bigint' ? exactNumber(part) : part;
}

function exactNumber(value: bigint): unknown {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  return rawJSON(value.toString());
}
