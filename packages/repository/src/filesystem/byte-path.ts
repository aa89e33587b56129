// Paths as raw bytes: names on Linux need not be UTF-8.

const slash = Buffer.from('/');

/** `folder/name`. */
export function joinPath(folder: Buffer, name: Buffer): Buffer {
  return folder.at(-1) === 0x2f ? Buffer.concat([folder, name]) : Buffer.concat([folder, slash, name]);
}

/** The components of an absolute or relative path, without empty ones. */
export function pathComponents(path: Buffer): Buffer[] {
  const components: Buffer[] = [];
  let start = 0;
  while (start <= path.length) {
    const next = path.indexOf(0x2f, start);
    const end = next < 0 ? path.length : next;
    if (end > start) components.push(path.subarray(start, end));
    start = end + 1;
  }
  return components;
}
