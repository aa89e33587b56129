// End-to-end proof of a base backup: what was handed on for storing is compared, file by file, with what the server says that
// it read. It finds what was damaged, lost or added on the way, and a server whose archive is not what its manifest says.

import { AppError } from '@varve/base';
import { parseBackupManifest, type BackupManifest } from './backup-manifest.ts';
import { TarDigests, type FileDigest } from './tar-digests.ts';

/** Files that the manifest does not list: the WAL that comes along has checksums of its own. */
const unlisted = /^(pg_wal\/|backup_manifest$)/;
const mostNamed = 5;

/** Passes the parts of one backup through and keeps their checksums. */
export class BackupProof {
  readonly #archives: { readonly prefix: string; readonly digests: TarDigests }[] = [];
  readonly #manifest: Uint8Array[] = [];

  /** The same bytes. `tablespaceOid` as in the part. */
  async *archive(tar: AsyncIterable<Uint8Array>, tablespaceOid: number | null): AsyncGenerator<Uint8Array> {
    const digests = new TarDigests();
    this.#archives.push({ prefix: tablespaceOid === null ? '' : `pg_tblspc/${tablespaceOid}/`, digests });
    for await (const chunk of tar) {
      digests.push(chunk);
      yield chunk;
    }
    digests.end();
  }

  /** The same bytes. */
  async *manifest(json: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of json) {
      this.#manifest.push(chunk.slice());
      yield chunk;
    }
  }

  /** The manifest that has passed, as it was. */
  get manifestBytes(): Buffer {
    return Buffer.concat(this.#manifest);
  }

  /** Compares everything that has passed. Throws DATABASE_BACKUP_MISMATCH with the first files that differ. */
  verify(): BackupManifest {
    const manifest = parseBackupManifest(this.manifestBytes);
    const sent = new Map<string, FileDigest>();
    for (const { prefix, digests } of this.#archives) {
      for (const [name, digest] of digests.files) sent.set(prefix + name, digest);
    }
    const faults = findFaults(manifest, sent);
    if (faults.length === 0) return manifest;
    const more = faults.length > mostNamed ? `, and ${faults.length - mostNamed} more` : '';
    throw new AppError(
      'DATABASE_BACKUP_MISMATCH',
      `What was received of the base backup is not what the server has read: ${faults.slice(0, mostNamed).join(', ')}${more}.`,
      {
        hint: 'Nothing of it was kept. Take the backup again; if it happens again, check network and memory of both machines.',
        context: { files: faults.length },
        retry: true,
      },
    );
  }
}

function findFaults({ files }: BackupManifest, sent: ReadonlyMap<string, FileDigest>): string[] {
  const faults: string[] = [];
  for (const [path, { sizeBytes, sha256 }] of files) {
    const digest = sent.get(path);
    if (digest === undefined) faults.push(`${path} is missing`);
    else if (digest.sizeBytes !== sizeBytes)
      faults.push(`${path} has ${digest.sizeBytes} instead of ${sizeBytes} bytes`);
    else if (sha256 !== undefined && digest.sha256 !== sha256) faults.push(`${path} has another checksum`);
  }
  for (const path of sent.keys()) {
    if (!files.has(path) && !unlisted.test(path)) faults.push(`${path} is not in the manifest`);
  }
  return faults;
}
