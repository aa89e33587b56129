// Jobs: every run of anything that takes time, with progress, log and result.

import { z } from 'zod';
import { appIdSchema, bytesSchema, snapshotIdSchema, timeSchema } from './primitives.ts';
import { sandboxSchema, verifyCheckSchema } from './recovery.ts';
import { lsnSchema, timelineNumberSchema } from './wal-block.ts';

export const jobTypeSchema = z
  .enum(['snapshot', 'restore', 'forget', 'check', 'prune', 'recovery', 'verify'])
  .meta({ id: 'JobType' });
export type JobType = z.infer<typeof jobTypeSchema>;

export const jobStateSchema = z
  .enum(['queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled'])
  .meta({ id: 'JobState' });
export type JobState = z.infer<typeof jobStateSchema>;

/** Where a running job is. Totals and the time left are null while unknown. */
export const jobProgressSchema = z
  .strictObject({
    /** Step of the work, e.g. `database:db`, `volume:web-data`, `commit`, `safety-snapshot`, `stop-containers`. */
    step: z.string(),
    filesDone: z.number().int().nonnegative(),
    filesTotal: z.number().int().nonnegative().nullable(),
    bytesDone: z.number().nonnegative(),
    bytesTotal: z.number().nonnegative().nullable(),
    bytesPerSecond: z.number().nonnegative().nullable(),
    secondsLeft: z.number().nonnegative().nullable(),
    current: z.string().nullable(),
  })
  .meta({ id: 'JobProgress' });
export type JobProgress = z.infer<typeof jobProgressSchema>;

/** What a check reads of the data: nothing, everything, or one of several parts that together are everything. */
export const checkScopeSchema = z
  .discriminatedUnion('data', [
    z.strictObject({ data: z.literal('none') }),
    z.strictObject({ data: z.literal('all') }),
    z.strictObject({ data: z.literal('part'), part: z.number().int().min(1), parts: z.number().int().min(2).max(256) }),
  ])
  .meta({ id: 'CheckScope' });
export type CheckScope = z.infer<typeof checkScopeSchema>;

/** What a job found or did, as far as it got; also of a failed one. */
export const jobResultSchema = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('check'),
      scope: checkScopeSchema,
      snapshots: z.number().int().nonnegative(),
      packs: z.number().int().nonnegative(),
      bytesRead: bytesSchema,
      errors: z.number().int().nonnegative(),
      warnings: z.number().int().nonnegative(),
      /** Files and folders of snapshots that damage has reached, over all snapshots. */
      affectedCount: z.number().int().nonnegative(),
      /** The first of them, those of the newest snapshot in front. */
      affected: z.array(
        z.strictObject({
          snapshotId: snapshotIdSchema,
          path: z.string(),
          type: z.enum(['file', 'folder']),
          reason: z.string(),
        }),
      ),
    }),
    z.strictObject({
      type: z.literal('prune'),
      packsRemoved: z.number().int().nonnegative(),
      bytesRemoved: bytesSchema,
      /** Packs that what is used of others was copied into. */
      packsWritten: z.number().int().nonnegative(),
      bytesWritten: bytesSchema,
    }),
    z.strictObject({
      type: z.literal('recovery'),
      component: z.string(),
      /** What the server says it replayed to. */
      timeline: timelineNumberSchema,
      lsn: lsnSchema,
      lastCommitAt: timeSchema.nullable(),
      segments: z.number().int().nonnegative(),
      seconds: z.number().nonnegative(),
      /** Of a recovery into one. */
      sandbox: sandboxSchema.nullable(),
      /** Of a recovery into a folder: the data folder. */
      folder: z.string().nullable(),
    }),
    z.strictObject({
      type: z.literal('verify'),
      component: z.string(),
      baseSnapshotId: snapshotIdSchema,
      lastCommitAt: timeSchema.nullable(),
      checks: z.array(verifyCheckSchema),
      /** From the beginning of the recovery until the sandbox was removed. */
      seconds: z.number().nonnegative(),
    }),
  ])
  .meta({ id: 'JobResult' });
export type JobResult = z.infer<typeof jobResultSchema>;

export const jobSchema = z
  .strictObject({
    id: z.string(),
    type: jobTypeSchema,
    appId: appIdSchema.nullable(),
    /** Who asked: `user:<name>`, `schedule`, `cli`. */
    requestedBy: z.string(),
    state: jobStateSchema,
    createdAt: timeSchema,
    startedAt: timeSchema.nullable(),
    finishedAt: timeSchema.nullable(),
    progress: jobProgressSchema.nullable(),
    /** The snapshot that was made or restored. */
    snapshotId: snapshotIdSchema.nullable(),
    error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() }).nullable(),
    problems: z.array(z.strictObject({ path: z.string(), message: z.string() })),
    /** Of checks, prunes, recoveries and proofs; null for others, and when the job did not get that far. */
    result: jobResultSchema.nullable(),
  })
  .meta({ id: 'Job' });
export type Job = z.infer<typeof jobSchema>;

export const jobLogLineSchema = z
  .strictObject({ time: timeSchema, level: z.enum(['info', 'warning', 'error']), message: z.string() })
  .meta({ id: 'JobLogLine' });
export type JobLogLine = z.infer<typeof jobLogLineSchema>;

export const jobDetailsSchema = z
  .strictObject({ job: jobSchema, log: z.array(jobLogLineSchema) })
  .meta({ id: 'JobDetails' });
export type JobDetails = z.infer<typeof jobDetailsSchema>;

/** What the event stream carries; each event replaces what the client knew of the thing. */
export const varveEventSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('job'), job: jobSchema }),
    z.strictObject({ type: z.literal('job-log'), jobId: z.string(), line: jobLogLineSchema }),
    /** Something about the app changed: state, snapshots, policy. Read it again. */
    z.strictObject({ type: z.literal('app'), appId: appIdSchema }),
    z.strictObject({ type: z.literal('alerts') }),
  ])
  .meta({ id: 'VarveEvent' });
export type VarveEvent = z.infer<typeof varveEventSchema>;
