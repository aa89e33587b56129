// The plan of a restore in place: plain data that CLI and UI show before anything is touched, and that is run and checked.

import { z } from 'zod';
import { appIdSchema, bytesSchema, snapshotIdSchema, timeSchema } from './primitives.ts';

/** One step, in the order in which it runs. The texts for people are made from it in their language. */
export const restoreStepSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('safety-snapshot') }),
    z.strictObject({ type: z.literal('stop-containers'), containers: z.array(z.string()) }),
    z.strictObject({ type: z.literal('run-stop-command'), command: z.string() }),
    z.strictObject({ type: z.literal('stop-database'), component: z.string(), dataDirectory: z.string() }),
    z.strictObject({
      type: z.literal('restore-volume'),
      component: z.string(),
      target: z.string(),
      files: z.number().int(),
      bytes: bytesSchema,
      /** The volume is gone and is made anew. */
      recreate: z.boolean(),
    }),
    z.strictObject({
      type: z.literal('restore-code'),
      component: z.string(),
      target: z.string(),
      fromCommit: z.string().nullable(),
      toCommit: z.string().nullable(),
      withLocalChanges: z.boolean(),
    }),
    z.strictObject({ type: z.literal('start-database'), component: z.string(), containers: z.array(z.string()) }),
    z.strictObject({
      type: z.literal('restore-database'),
      component: z.string(),
      method: z.enum(['dump', 'base']),
      /** Names of the databases, or the data folder for a base. */
      databases: z.array(z.string()),
      bytes: bytesSchema,
    }),
    z.strictObject({ type: z.literal('start-containers'), containers: z.array(z.string()) }),
    z.strictObject({ type: z.literal('run-start-command'), command: z.string() }),
    z.strictObject({ type: z.literal('wait-healthy'), containers: z.array(z.string()) }),
  ])
  .meta({ id: 'RestoreStep' });
export type RestoreStep = z.infer<typeof restoreStepSchema>;

export const restorePlanSchema = z
  .strictObject({
    appId: appIdSchema,
    snapshotId: snapshotIdSchema,
    snapshotTime: timeSchema,
    steps: z.array(restoreStepSchema),
    bytes: bytesSchema,
    files: z.number().int().nonnegative(),
    /** What the user should know before saying yes: data newer than the snapshot is lost, a partial snapshot, a missing part. */
    warnings: z.array(
      z.strictObject({
        code: z.enum([
          'newer-data-lost',
          'snapshot-partial',
          'component-missing',
          'no-safety-snapshot',
          'containers-missing',
          'other-version',
          'low-space',
          'tablespaces',
        ]),
        subject: z.string(),
        message: z.string(),
      }),
    ),
    /** Hash of the plan and of what it relies on; a run with an outdated one is refused with RESTORE_PLAN_STALE. */
    fingerprint: z.string(),
  })
  .meta({ id: 'RestorePlan' });
export type RestorePlan = z.infer<typeof restorePlanSchema>;

export const restoreRequestSchema = z
  .strictObject({
    snapshotId: snapshotIdSchema,
    /** Components to put back; all when absent. */
    components: z.array(z.string()).min(1).optional(),
    /** Take a pre-restore snapshot first. */
    safetySnapshot: z.boolean().default(true),
  })
  .meta({ id: 'RestoreRequest' });
export type RestoreRequest = z.infer<typeof restoreRequestSchema>;
export type RestoreRequestInput = z.input<typeof restoreRequestSchema>;

/** Runs a plan that was shown. */
export const restoreRunSchema = restoreRequestSchema
  .safeExtend({ fingerprint: z.string().min(1) })
  .meta({ id: 'RestoreRun' });
export type RestoreRun = z.infer<typeof restoreRunSchema>;
