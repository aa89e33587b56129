// What an app can be brought back to: its snapshots, and of each captured database the ranges in which any moment can be
// reached, what is missing and why, named points, restarts and branches. Positions in the log are the truth; times are what
// the database's own clock said. Nothing here is later than what is in the repository.

import { z } from 'zod';
import { snapshotKindSchema } from './manifest.ts';
import { appIdSchema, labelSchema, snapshotIdSchema, timeSchema } from './primitives.ts';
import { componentNameSchema } from './app.ts';
import { lsnSchema, walGapReasonSchema } from './wal-block.ts';

/**
 * current: the history that the database has now. abandoned: it went on from an earlier point, and this is what was left
 * behind. earlier-cluster: written before the cluster was made anew (pg_upgrade, initdb).
 */
export const timelineBranchKindSchema = z
  .enum(['current', 'abandoned', 'earlier-cluster'])
  .meta({ id: 'TimelineBranchKind' });
export type TimelineBranchKind = z.infer<typeof timelineBranchKindSchema>;

const placeShape = {
  systemId: z.string(),
  timeline: z.number().int().min(1),
  branch: timelineBranchKindSchema,
};

/** The clock of the server was set back: times before and after overlap, a position says which is meant. */
const clockStepSchema = z.strictObject({ lsn: lsnSchema, fromAt: timeSchema, toAt: timeSchema });

export const recoverableRangeSchema = z
  .strictObject({
    ...placeShape,
    /** The oldest base backup that it can be recovered from. */
    baseSnapshotId: snapshotIdSchema,
    fromLsn: lsnSchema,
    /** Behind the last whole record. */
    toLsn: lsnSchema,
    /** Any moment from here … */
    fromAt: timeSchema,
    /** … to the greatest time of a commit in it. */
    toAt: timeSchema,
    /** As far as known by whole segments; null when there is no commit. */
    firstCommitAt: timeSchema.nullable(),
    /** The last one of the log. */
    lastCommitAt: timeSchema.nullable(),
    commits: z.number().int().nonnegative(),
    clockSteps: z.array(clockStepSchema),
  })
  .meta({ id: 'RecoverableRange' });
export type RecoverableRange = z.infer<typeof recoverableRangeSchema>;

/** block-missing, block-unreadable: it was captured, and is no longer in the repository, or cannot be read. */
export const timelineGapReasonSchema = z
  .enum([...walGapReasonSchema.options, 'block-missing', 'block-unreadable'])
  .meta({ id: 'TimelineGapReason' });
export type TimelineGapReason = z.infer<typeof timelineGapReasonSchema>;

export const timelineGapSchema = z
  .strictObject({
    ...placeShape,
    reason: timelineGapReasonSchema,
    message: z.string().nullable(),
    fromLsn: lsnSchema,
    toLsn: lsnSchema,
    /** The last commit before and the first one behind; null when there is none. */
    fromAt: timeSchema.nullable(),
    toAt: timeSchema.nullable(),
    detectedAt: timeSchema.nullable(),
    /** From when on any moment can be reached again: the end of the base backup behind it. Null until there is one. */
    healedAt: timeSchema.nullable(),
  })
  .meta({ id: 'TimelineGap' });
export type TimelineGap = z.infer<typeof timelineGapSchema>;

/** WAL that is there and cannot be used, because no base backup lies before it. */
export const unreachableStretchSchema = z
  .strictObject({
    ...placeShape,
    /** capture-began: the first base backup ended later. behind-gap: so did the first one behind a gap. */
    reason: z.enum(['capture-began', 'behind-gap']),
    /** Whether a base backup followed; until then it grows. */
    hasEnded: z.boolean(),
    fromLsn: lsnSchema,
    toLsn: lsnSchema,
    fromAt: timeSchema.nullable(),
    toAt: timeSchema.nullable(),
  })
  .meta({ id: 'UnreachableStretch' });
export type UnreachableStretch = z.infer<typeof unreachableStretchSchema>;

export const restorePointSchema = z
  .strictObject({ ...placeShape, name: z.string(), lsn: lsnSchema, at: timeSchema, reachable: z.boolean() })
  .meta({ id: 'RestorePoint' });
export type RestorePoint = z.infer<typeof restorePointSchema>;

const restartSchema = z.strictObject({ ...placeShape, lsn: lsnSchema, at: timeSchema });

const branchSchema = z.strictObject({
  ...placeShape,
  /** Where it comes from; null for the first of a cluster, and when its history file is missing. */
  parent: z.strictObject({ timeline: z.number().int(), lsn: lsnSchema }).nullable(),
  serverVersion: z.string(),
});

/** Answer to "can it be brought back to that time", by the current history and earlier clusters. */
export const nearestReachableSchema = z
  .strictObject({
    at: timeSchema,
    reachable: z.boolean(),
    /** The greatest time before, and the least one behind, that can be reached; null when there is none. */
    before: timeSchema.nullable(),
    after: timeSchema.nullable(),
  })
  .meta({ id: 'NearestReachable' });
export type NearestReachable = z.infer<typeof nearestReachableSchema>;

export const databaseTimelineSchema = z
  .strictObject({
    component: componentNameSchema,
    /** Whether its log is to be captured now. */
    captured: z.boolean(),
    /** Of the cluster and the timeline that were captured last; null before anything is. */
    systemId: z.string().nullable(),
    timeline: z.number().int().nullable(),
    /** By time of the clusters, then by position. */
    ranges: z.array(recoverableRangeSchema),
    gaps: z.array(timelineGapSchema),
    unreachable: z.array(unreachableStretchSchema),
    points: z.array(restorePointSchema),
    restarts: z.array(restartSchema),
    branches: z.array(branchSchema),
    /** Parts of the log that are in the repository and cannot be read. */
    damaged: z.array(z.strictObject({ snapshotId: snapshotIdSchema, time: timeSchema, message: z.string() })),
    /** Null unless a time was asked for. */
    nearest: nearestReachableSchema.nullable(),
  })
  .meta({ id: 'DatabaseTimeline' });
export type DatabaseTimeline = z.infer<typeof databaseTimelineSchema>;

export const timelineSnapshotSchema = z.strictObject({
  id: snapshotIdSchema,
  time: timeSchema,
  kind: snapshotKindSchema,
  name: z.string().nullable(),
  partial: z.boolean(),
  /** Databases of which it has a base backup. */
  bases: z.array(componentNameSchema),
});
export type TimelineSnapshot = z.infer<typeof timelineSnapshotSchema>;

export const timelineSchema = z
  .strictObject({
    appId: appIdSchema,
    /** When the repository was looked at; it may have more by now. */
    readAt: timeSchema,
    databases: z.array(databaseTimelineSchema),
    /** Oldest first. */
    snapshots: z.array(timelineSnapshotSchema),
  })
  .meta({ id: 'Timeline' });
export type Timeline = z.infer<typeof timelineSchema>;

/** Only what overlaps [from, to]; `at` asks for the nearest reachable time. */
export const timelineQuerySchema = z
  .strictObject({ from: timeSchema.optional(), to: timeSchema.optional(), at: timeSchema.optional() })
  .meta({ id: 'TimelineQuery' });
export type TimelineQuery = z.infer<typeof timelineQuerySchema>;

/** A named restore point to be made; `component` may be absent when one database is captured. */
export const newRestorePointSchema = z
  .strictObject({
    /** PostgreSQL takes up to 63 bytes. */
    name: labelSchema.refine((name) => new TextEncoder().encode(name).length <= 63, {
      message: 'the name of a restore point has at most 63 bytes',
    }),
    component: componentNameSchema.optional(),
  })
  .meta({ id: 'NewRestorePoint' });
export type NewRestorePoint = z.infer<typeof newRestorePointSchema>;

/** A point that the server has written; it can be recovered to once it is in the repository. */
export const madeRestorePointSchema = z
  .strictObject({
    component: componentNameSchema,
    name: z.string(),
    systemId: z.string(),
    timeline: z.number().int().min(1),
    /** End of its record. */
    lsn: lsnSchema,
    at: timeSchema,
  })
  .meta({ id: 'MadeRestorePoint' });
export type MadeRestorePoint = z.infer<typeof madeRestorePointSchema>;
