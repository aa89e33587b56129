// Recovery of a database to a point in time: what is asked for, the plan that is shown, sandboxes, and the proof that a recovery
// works. docs/point-in-time.md says how it is done.

import { z } from 'zod';
import { componentNameSchema } from './app.ts';
import { appIdSchema, bytesSchema, snapshotIdSchema, timeSchema } from './primitives.ts';
import { lsnSchema, timelineNumberSchema } from './wal-block.ts';

/** Which state is wanted. */
export const recoveryTargetSchema = z
  .discriminatedUnion('type', [
    /** Everything that was committed until then, by the server's clock; up to a microsecond. */
    z.strictObject({ type: z.literal('time'), time: timeSchema }),
    /** Every record that begins before this position. */
    z.strictObject({ type: z.literal('lsn'), lsn: lsnSchema }),
    /** A restore point. */
    z.strictObject({ type: z.literal('name'), name: z.string().min(1).max(63) }),
    /** The end of what is in the repository. */
    z.strictObject({ type: z.literal('latest') }),
    /** The point at which a snapshot of the app has the database. */
    z.strictObject({ type: z.literal('snapshot'), snapshotId: snapshotIdSchema }),
  ])
  .meta({ id: 'RecoveryTarget' });
export type RecoveryTarget = z.infer<typeof recoveryTargetSchema>;

const absolutePathSchema = z.string().max(4096).startsWith('/');
const portSchema = z.number().int().min(1).max(65_535);

export const recoveryDestinationSchema = z
  .discriminatedUnion('type', [
    /** In the place of the present database; the rest of the app stays as it is. */
    z.strictObject({ type: z.literal('in-place') }),
    /** A server of its own beside the app, which stays until it is removed. */
    z.strictObject({
      type: z.literal('sandbox'),
      /** On loopback; a free one on a host, none for a container, when absent. */
      port: portSchema.optional(),
      /** A new folder for it on a host; beside the data folder when absent. */
      folder: absolutePathSchema.optional(),
    }),
    /** A data folder that no server runs on, shut down cleanly. The folder is new or empty. */
    z.strictObject({ type: z.literal('folder'), path: absolutePathSchema }),
  ])
  .meta({ id: 'RecoveryDestination' });
export type RecoveryDestination = z.infer<typeof recoveryDestinationSchema>;

export const recoveryRequestSchema = z
  .strictObject({
    /** The database; may be left out when the app has one that can be recovered. */
    component: componentNameSchema.optional(),
    target: recoveryTargetSchema,
    /** The one on which the target lies; the newest when absent. */
    timeline: timelineNumberSchema.optional(),
    destination: recoveryDestinationSchema,
    /** pause: a sandbox can be looked at, and takes no changes, until it is promoted. */
    whenReached: z.enum(['promote', 'pause']).default('promote'),
    /** In place only: save the present state of the app first. */
    safetySnapshot: z.boolean().default(true),
  })
  .meta({ id: 'RecoveryRequest' });
export type RecoveryRequest = z.infer<typeof recoveryRequestSchema>;
export type RecoveryRequestInput = z.input<typeof recoveryRequestSchema>;

/** One step, in the order in which it runs. */
export const recoveryStepSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('safety-snapshot') }),
    z.strictObject({
      type: z.literal('restore-base'),
      snapshotId: snapshotIdSchema,
      target: z.string(),
      bytes: bytesSchema,
    }),
    z.strictObject({
      type: z.literal('replay-wal'),
      fromLsn: lsnSchema,
      toLsn: lsnSchema,
      segments: z.number().int().nonnegative(),
      bytes: bytesSchema,
    }),
    z.strictObject({ type: z.literal('pause') }),
    z.strictObject({ type: z.literal('promote') }),
    z.strictObject({ type: z.literal('shut-down') }),
    z.strictObject({ type: z.literal('stop-containers'), containers: z.array(z.string()) }),
    z.strictObject({ type: z.literal('run-stop-command'), command: z.string() }),
    z.strictObject({ type: z.literal('stop-database'), component: z.string(), dataDirectory: z.string() }),
    z.strictObject({ type: z.literal('swap-data'), dataDirectory: z.string() }),
    z.strictObject({ type: z.literal('start-database'), component: z.string() }),
    z.strictObject({ type: z.literal('start-containers'), containers: z.array(z.string()) }),
    z.strictObject({ type: z.literal('run-start-command'), command: z.string() }),
    z.strictObject({ type: z.literal('wait-healthy'), containers: z.array(z.string()) }),
  ])
  .meta({ id: 'RecoveryStep' });
export type RecoveryStep = z.infer<typeof recoveryStepSchema>;

export const recoveryPlanSchema = z
  .strictObject({
    appId: appIdSchema,
    component: componentNameSchema,
    target: recoveryTargetSchema,
    destination: recoveryDestinationSchema,
    whenReached: z.enum(['promote', 'pause']),
    systemId: z.string(),
    serverVersion: z.string(),
    /** The base backup that it begins with. */
    base: z.strictObject({
      snapshotId: snapshotIdSchema,
      time: timeSchema,
      timeline: timelineNumberSchema,
      startLsn: lsnSchema,
      endLsn: lsnSchema,
      bytes: bytesSchema,
    }),
    /** What is replayed on top of it. */
    wal: z.strictObject({
      fromLsn: lsnSchema,
      toLsn: lsnSchema,
      segments: z.number().int().nonnegative(),
      bytes: bytesSchema,
      /** The timelines that it goes over, the oldest first. */
      timelines: z.array(timelineNumberSchema).min(1),
    }),
    /** Where it stops. */
    stop: z.strictObject({
      timeline: timelineNumberSchema,
      lsn: lsnSchema,
      /** Of the last transaction that will be there; null when the log does not say (the end of a base backup). */
      lastCommitAt: timeSchema.nullable(),
      /** Of the first that will not be there; null when there is none. */
      nextCommitAt: timeSchema.nullable(),
    }),
    estimate: z.strictObject({ seconds: z.number().nonnegative(), bytes: bytesSchema }),
    steps: z.array(recoveryStepSchema),
    warnings: z.array(
      z.strictObject({
        code: z.enum([
          'newer-data-lost',
          'database-only',
          'no-safety-snapshot',
          'other-version',
          'other-image',
          'low-space',
          'tablespaces',
          'scheduled-jobs',
        ]),
        subject: z.string(),
        message: z.string(),
      }),
    ),
    /** Hash of the plan and of what it relies on; a run with an outdated one is refused with RESTORE_PLAN_STALE. */
    fingerprint: z.string(),
  })
  .meta({ id: 'RecoveryPlan' });
export type RecoveryPlan = z.infer<typeof recoveryPlanSchema>;

/** Runs a plan that was shown. */
export const recoveryRunSchema = recoveryRequestSchema
  .safeExtend({ fingerprint: z.string().min(1) })
  .meta({ id: 'RecoveryRun' });
export type RecoveryRun = z.infer<typeof recoveryRunSchema>;

/** A server beside the app that a recovery made. */
export const sandboxSchema = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9]{8}$/),
    appId: appIdSchema,
    component: componentNameSchema,
    createdAt: timeSchema,
    /** making: a recovery is at it. paused: it can be read, and waits to be promoted. stopped: its server does not run. */
    state: z.enum(['making', 'paused', 'running', 'stopped']),
    serverVersion: z.string(),
    /** Where recovery stopped; null while it is made. */
    stoppedAt: z
      .strictObject({ timeline: timelineNumberSchema, lsn: lsnSchema, lastCommitAt: timeSchema.nullable() })
      .nullable(),
    /** On a host: its folder. */
    folder: z.string().nullable(),
    /** With Docker: the names of its container and its volume. */
    container: z.string().nullable(),
    volume: z.string().nullable(),
    /** How it is reached. Users and passwords are those of the database at that time. */
    connection: z
      .strictObject({
        host: z.string().nullable(),
        port: portSchema.nullable(),
        socketFolder: z.string().nullable(),
        user: z.string(),
        /** A command that opens it. */
        command: z.string(),
      })
      .nullable(),
  })
  .meta({ id: 'Sandbox' });
export type Sandbox = z.infer<typeof sandboxSchema>;

/** A question to the recovered data whose answer shows whether it is right. */
export const verifyQuerySchema = z.strictObject({
  database: z.string().min(1).max(63).optional(),
  /** Passes when it yields no row, or one row whose one column is true. */
  sql: z.string().min(1).max(100_000),
});

export const verifyRequestSchema = z
  .strictObject({
    component: componentNameSchema.optional(),
    target: recoveryTargetSchema.default({ type: 'latest' }),
    timeline: timelineNumberSchema.optional(),
    queries: z.array(verifyQuerySchema).max(100).default([]),
    /** Look at every index as well (amcheck), where the server has it. */
    indexes: z.boolean().default(true),
    /** Where a host makes the sandbox. */
    folder: absolutePathSchema.optional(),
  })
  .meta({ id: 'VerifyRequest' });
export type VerifyRequest = z.infer<typeof verifyRequestSchema>;
export type VerifyRequestInput = z.input<typeof verifyRequestSchema>;

/** What was looked at in a sandbox. skipped: it could not be looked at, and the message says why. */
export const verifyCheckSchema = z
  .strictObject({
    name: z.enum(['recovery', 'page-checksums', 'indexes', 'query']),
    subject: z.string(),
    state: z.enum(['passed', 'failed', 'skipped']),
    message: z.string(),
    seconds: z.number().nonnegative(),
  })
  .meta({ id: 'VerifyCheck' });
export type VerifyCheck = z.infer<typeof verifyCheckSchema>;
