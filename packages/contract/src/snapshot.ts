// Snapshots of an app as lists and pages show them.

import { z } from 'zod';
import { manifestSchema, snapshotKindSchema } from './manifest.ts';
import { componentNameSchema } from './app.ts';
import { appIdSchema, bytesSchema, labelSchema, snapshotIdSchema, timeSchema } from './primitives.ts';

export const appSnapshotSchema = z
  .strictObject({
    id: snapshotIdSchema,
    appId: appIdSchema,
    time: timeSchema,
    kind: snapshotKindSchema,
    name: z.string().nullable(),
    description: z.string().nullable(),
    partial: z.boolean(),
    /** Size of everything in it, and what it added to the repository (stored, compressed). */
    bytes: bytesSchema,
    bytesAdded: bytesSchema,
    files: z.number().int().nonnegative(),
    durationMs: z.number().nonnegative(),
    commit: z.string().nullable(),
    walLsn: z.string().nullable(),
  })
  .meta({ id: 'AppSnapshot' });
export type AppSnapshot = z.infer<typeof appSnapshotSchema>;

export const snapshotDetailsSchema = z
  .strictObject({ snapshot: appSnapshotSchema, manifest: manifestSchema })
  .meta({ id: 'SnapshotDetails' });
export type SnapshotDetails = z.infer<typeof snapshotDetailsSchema>;

export const newSnapshotSchema = z
  .strictObject({
    kind: z.enum(['manual', 'pre-deploy']).default('manual'),
    name: labelSchema.optional(),
    description: z.string().trim().max(2000).optional(),
  })
  .meta({ id: 'NewSnapshot' });
export type NewSnapshot = z.infer<typeof newSnapshotSchema>;

/** What retention would do now, and why. */
export const retentionPreviewSchema = z
  .strictObject({
    keep: z.array(z.strictObject({ snapshot: appSnapshotSchema, reasons: z.array(z.string()) })),
    remove: z.array(appSnapshotSchema),
    /** Write-ahead log that is older than the point-in-time window and that no base backup of it needs; by database. */
    removeWal: z.array(
      z.strictObject({
        component: componentNameSchema,
        blocks: z.number().int().nonnegative(),
        /** Of log, before compression. */
        bytes: bytesSchema,
        /** First and last commit; null when there is none in it. */
        fromAt: timeSchema.nullable(),
        toAt: timeSchema.nullable(),
      }),
    ),
    /** Stays the same while nothing changed; sent back to run exactly this plan. */
    fingerprint: z.string(),
  })
  .meta({ id: 'RetentionPreview' });
export type RetentionPreview = z.infer<typeof retentionPreviewSchema>;
