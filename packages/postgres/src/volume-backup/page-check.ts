// Checks the pages of relation files while they are read: loaded by whoever reads, which may be a thread of its own, so it
// depends on nothing but the checksum. Files whose names are not those of relation files (`16384`, `16384_vm.2`) pass.
// Source: manual, "Database File Layout"; RELSEG_SIZE of every build that is distributed (1 GiB).

import { dataPageBytes, isPageRight, pageWords } from './page-checksum.ts';

const blocksPerSegment = (1024 * 1024 * 1024) / dataPageBytes;
const relationFile = /^\d+(?:_(?:fsm|vm|init))?(?:\.(\d+))?$/;

/** Size of what is checked as one. */
export const pageBytes = dataPageBytes;

/** Which part of which file some bytes are; `position` is a multiple of {@link pageBytes}. */
export interface CheckedPart {
  readonly name: string;
  readonly position: number;
}

/**
 * The offset in `bytes` of the first page at or after `from` that is not right, -1 when there is none. A page at the end that
 * is not whole passes: the file is being extended. `bytes` MUST begin at a multiple of 4 of its buffer, `from` at a page.
 */
export function findBadPage(bytes: Uint8Array, part: CheckedPart, from: number): number {
  const match = relationFile.exec(part.name);
  if (!match) return -1;
  const words = pageWords(bytes);
  const firstBlock = Number(match[1] ?? 0) * blocksPerSegment + part.position / dataPageBytes;
  for (let at = from; at + dataPageBytes <= bytes.length; at += dataPageBytes) {
    if (!isPageRight(words, at / 4, firstBlock + at / dataPageBytes)) return at;
  }
  return -1;
}

/** What is to be known of a page that is not right: the position that it says it was last changed at (`pd_lsn`), decimal. */
export function describePage(page: Uint8Array): string {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  return ((BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true))).toString();
}
