// What a base backup by volume notes about itself in the snapshot, `/databases/<name>/volume-backup.json`: what the next one
// has to know to leave out files safely, and which pages were damaged.

import { isAppError } from '@varve/base';
import { readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { z } from 'zod';
import { collectBytes } from '../collect-bytes.ts';

const reportSchema = z.object({
  format: z.literal('varve-volume-backup'),
  formatVersion: z.literal(1),
  systemId: z.string(),
  startLsn: z.string(),
  endLsn: z.string(),
  /** Unix nanoseconds by the clock of the file system, before the first file was read. */
  readFromNs: z.string().regex(/^\d+$/),
  /** off: the cluster has no page checksums. */
  checksums: z.enum(['verified', 'off']),
  /** Pages whose checksum is wrong on the disk. */
  badPages: z.array(z.object({ path: z.string(), block: z.number().int() })),
});
export type VolumeBackupReport = z.infer<typeof reportSchema>;

export function reportPath(component: string): string {
  return `/databases/${component}/volume-backup.json`;
}

/** The report of a snapshot; null when it has none that is understood, or cannot be read. */
export async function readReport(
  repository: Repository,
  options: { readonly snapshot: Snapshot; readonly component: string; readonly signal: AbortSignal },
): Promise<VolumeBackupReport | null> {
  const { snapshot, component, signal } = options;
  try {
    const path = reportPath(component);
    const bytes = await collectBytes(readFileContent(repository, { treeId: snapshot.tree, path, signal }));
    return reportSchema.safeParse(JSON.parse(bytes.toString('utf8'))).data ?? null;
  } catch (error) {
    if (isAppError(error, 'CANCELLED')) throw error;
    return null;
  }
}
