// What is inside a snapshot, folder by folder, and how parts of it are downloaded.

import { z } from 'zod';
import { bytesSchema, snapshotIdSchema, timeSchema } from './primitives.ts';

export const snapshotEntrySchema = z
  .strictObject({
    name: z.string(),
    /** Absolute path in the snapshot, to list or download it. Names that are no UTF-8 are escaped. */
    path: z.string(),
    type: z.enum(['file', 'folder', 'link', 'other']),
    /** Of files. */
    bytes: bytesSchema.nullable(),
    modifiedAt: timeSchema.nullable(),
    /** Of links. */
    target: z.string().nullable(),
  })
  .meta({ id: 'SnapshotEntry' });
export type SnapshotEntry = z.infer<typeof snapshotEntrySchema>;

export const snapshotFolderSchema = z
  .strictObject({
    snapshotId: snapshotIdSchema,
    path: z.string(),
    /** Entries of the folder; `entries` may be a page of them. Folders first, each sort by name. */
    total: z.number().int().nonnegative(),
    entries: z.array(snapshotEntrySchema),
  })
  .meta({ id: 'SnapshotFolder' });
export type SnapshotFolder = z.infer<typeof snapshotFolderSchema>;

/** `file`: one file as it is. `tar`, `zip`: a folder with everything below it, or a single file in an archive. */
export const downloadFormatSchema = z.enum(['file', 'tar', 'zip']).meta({ id: 'DownloadFormat' });
export type DownloadFormat = z.infer<typeof downloadFormatSchema>;
