// What a base backup that the server sent says about itself, in `/databases/<name>/stream-backup.json`: what the next one has to
// know to take only what changed since.

import { isAppError } from '@varve/base';
import { readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { z } from 'zod';
import { collectBytes } from '../collect-bytes.ts';

const reportSchema = z.object({
  format: z.literal('varve-stream-backup'),
  formatVersion: z.literal(1),
  systemId: z.string(),
  timeline: z.number().int(),
  startLsn: z.string(),
  endLsn: z.string(),
  /** Unix microseconds by the server's clock: the same only while the same server runs without a break. */
  serverStartedAt: z.string().regex(/^\d+$/),
  hasChecksums: z.boolean(),
  /** Relation files are cut into chunks of this size. */
  chunkBytes: z.number().int(),
  /** How many backups in a row had only changed blocks sent, this one included; 0: all of it was sent. */
  incrementalInRow: z.number().int().min(0),
  /** The snapshot whose files the rest was taken from. */
  incrementalFrom: z.string().nullable(),
});
export type StreamBackupReport = z.infer<typeof reportSchema>;

export function streamReportPath(component: string): string {
  return `/databases/${component}/stream-backup.json`;
}

/** The report of a snapshot; null when it has none that is understood, or cannot be read. */
export async function readStreamReport(
  repository: Repository,
  options: { readonly snapshot: Snapshot; readonly component: string; readonly signal: AbortSignal },
): Promise<StreamBackupReport | null> {
  const { snapshot, component, signal } = options;
  try {
    const path = streamReportPath(component);
    const bytes = await collectBytes(readFileContent(repository, { treeId: snapshot.tree, path, signal }));
    return reportSchema.safeParse(JSON.parse(bytes.toString('utf8'))).data ?? null;
  } catch (error) {
    if (isAppError(error, 'CANCELLED')) throw error;
    return null;
  }
}
