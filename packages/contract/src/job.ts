// Jobs: every run of anything that takes time, with progress, log and result.

import { z } from 'zod';
import { appIdSchema, snapshotIdSchema, timeSchema } from './primitives.ts';

export const jobTypeSchema = z.enum(['snapshot', 'restore', 'forget', 'check']).meta({ id: 'JobType' });
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
