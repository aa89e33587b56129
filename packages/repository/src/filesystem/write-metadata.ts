// Gives an object on disk the metadata of its node, in the order that keeps all of it: owner, attributes, times, mode last
// (a change of owner clears setuid). Links are never followed. Source: storage-format section 2.14.

import { chmodSync, lchownSync, lutimesSync } from 'node:fs';
import type { NodeType } from '../tree/tree-node.ts';
import { permissionsOf } from './file-mode.ts';
import type { Libc } from './libc.ts';
import { isSystemError } from './system-error.ts';

/** What is restored of a node; structured-cloneable and small. */
export interface NodeMetadata {
  readonly type: NodeType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly atimeNs: bigint;
  readonly extendedAttributes: readonly { readonly name: string; readonly value: Uint8Array | null }[];
}

/** Something that failed for a reason that holds for the whole restore, to be reported once. */
export interface MetadataFailure {
  readonly message: string;
  readonly isGeneral: boolean;
}

const generalCodes = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL']);
/** Set by the system itself on every file; not ours to remove. */
const systemAttributes = new Set(['security.selinux', 'security.ima', 'security.evm']);

export interface MetadataWriter {
  readonly libc: Libc | undefined;
  /** Only root may give files away. */
  readonly restoresOwners: boolean;
  /** Which extended attributes are written and removed; all when absent. */
  readonly selectsAttribute?: ((name: string) => boolean) | undefined;
}

/** Sets what can be set and yields what could not. */
export function writeMetadata(
  writer: MetadataWriter,
  options: { readonly path: Buffer; readonly metadata: NodeMetadata },
): MetadataFailure[] {
  const { path, metadata } = options;
  const failures: MetadataFailure[] = [];
  const attempt = (what: string, step: () => void): void => {
    try {
      step();
    } catch (error) {
      if (!isSystemError(error)) throw error;
      const isGeneral = generalCodes.has(error.code);
      failures.push({ isGeneral, message: isGeneral ? `${what}: ${error.code}` : `${what}: ${error.message}` });
    }
  };
  if (writer.restoresOwners) {
    attempt('Owners could not be restored', () => lchownSync(path, metadata.uid, metadata.gid));
  }
  attempt('Extended attributes could not be restored', () => writeAttributes(writer, path, metadata));
  attempt('Times could not be restored', () => writeTimes(writer.libc, path, metadata));
  if (metadata.type !== 'symlink') {
    attempt('Modes could not be restored', () => chmodSync(path, permissionsOf(metadata.mode)));
  }
  return failures;
}

function writeAttributes(writer: MetadataWriter, path: Buffer, { extendedAttributes }: NodeMetadata): void {
  const { libc, selectsAttribute = () => true } = writer;
  if (!libc) return;
  const selected = extendedAttributes.filter(({ name }) => selectsAttribute(name));
  const wanted = new Map(selected.map(({ name, value }) => [name, value ?? new Uint8Array(0)]));
  for (const { name, value } of libc.readAttributes(path)) {
    if (!selectsAttribute(name)) continue;
    const target = wanted.get(name);
    if (target && Buffer.compare(target, value) === 0) wanted.delete(name);
    else if (!target && !systemAttributes.has(name)) libc.removeAttribute(path, name);
  }
  let failure: Error | undefined;
  for (const [name, value] of wanted) {
    try {
      libc.writeAttribute(path, name, value);
    } catch (error) {
      failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }
  if (failure !== undefined) throw failure;
}

function writeTimes(libc: Libc | undefined, path: Buffer, { atimeNs, mtimeNs }: NodeMetadata): void {
  if (libc) libc.setTimes(path, { atimeNs, mtimeNs });
  // Without the system call, microseconds are what Node can do.
  else lutimesSync(path, Number(atimeNs) / 1e9, Number(mtimeNs) / 1e9);
}
