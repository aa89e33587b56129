// `/wal.json` of a WAL snapshot: which stretch of a cluster's write-ahead log it holds and what can be recovered with it, so that
// the timeline of an app is computed from the repository without reading the log again. Readers accept unknown keys.

import { z } from 'zod';
import { appIdSchema, bytesSchema, timeSchema } from './primitives.ts';
import { componentNameSchema } from './app.ts';

/** A position in the log as PostgreSQL writes it, e.g. `0/3000028`. */
export const lsnSchema = z
  .string()
  .regex(/^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/, 'a position in the log looks like 0/3000028');

/** Why WAL is missing before a block. */
export const walGapReasonSchema = z
  .enum(['wal-removed', 'slot-missing', 'slot-lost', 'diverged', 'spool-lost', 'archive-missing'])
  .meta({ id: 'WalGapReason' });
export type WalGapReason = z.infer<typeof walGapReasonSchema>;

/** Timelines are numbered from 1 on. */
export const timelineNumberSchema = z.number().int().min(1).max(0xffff_ffff);

const walSegmentFactsSchema = z.object({
  /** 24 hexadecimal digits; the file is `/wal/<name>`, or `/wal/<name>.partial` while it is shorter than a segment. */
  name: z.string().regex(/^[0-9A-F]{24}$/),
  /** How much of it is here, from its start. */
  bytes: bytesSchema,
  commits: z.number().int().nonnegative(),
  /** Of the commits in it, by the server's clock, in the order of the log. */
  firstCommitAt: timeSchema.nullable(),
  lastCommitAt: timeSchema.nullable(),
  /** The greatest time of a commit or abort in it: recovery to a later time finds nothing here to stop at. */
  latestAt: timeSchema.nullable(),
});

/** Settings that a server that recovers this WAL must not go below. */
const walParametersSchema = z.object({
  maxConnections: z.number().int(),
  maxWorkerProcesses: z.number().int(),
  maxWalSenders: z.number().int(),
  maxPreparedTransactions: z.number().int(),
  maxLocksPerTransaction: z.number().int(),
  walLevel: z.enum(['minimal', 'replica', 'logical']),
});

export const walBlockSchema = z
  .object({
    format: z.literal('varve-wal-block'),
    formatVersion: z.literal(1),
    varveVersion: z.string(),
    appId: appIdSchema,
    component: componentNameSchema,
    systemId: z.string(),
    serverVersion: z.string(),
    segmentBytes: z.number().int().positive(),
    timeline: timelineNumberSchema,
    /** First byte; the start of a segment. */
    startLsn: lsnSchema,
    /** Behind the last byte. */
    endLsn: lsnSchema,
    /** Behind the last whole record: how far it can be replayed. */
    replayableLsn: lsnSchema,
    /** No more is added to it; what follows is another block. */
    sealed: z.boolean(),
    startedAt: timeSchema,
    updatedAt: timeSchema,
    /** What is missing before this block; null when it continues what was captured before, or is the first. */
    gap: z
      .object({
        reason: walGapReasonSchema,
        timeline: timelineNumberSchema,
        /** End of what was captured before. */
        fromLsn: lsnSchema,
        detectedAt: timeSchema,
        message: z.string(),
      })
      .nullable(),
    /** In order, without a hole. */
    segments: z.array(walSegmentFactsSchema),
    restorePoints: z.array(z.object({ name: z.string(), lsn: lsnSchema, at: timeSchema })),
    parameterChanges: z.array(z.object({ lsn: lsnSchema, parameters: walParametersSchema })),
    /** Starts of the server: after a shutdown, a crash, a promotion. */
    restarts: z.array(z.object({ lsn: lsnSchema, at: timeSchema })),
    tablespacesCreated: z.array(z.object({ lsn: lsnSchema, path: z.string() })),
    /** Timelines whose history file is in `/wal/<timeline>.history`: that of this timeline and of its ancestors. */
    histories: z.array(timelineNumberSchema),
  })
  .meta({ id: 'WalBlock' });
export type WalBlock = z.infer<typeof walBlockSchema>;
export type WalSegmentFacts = WalBlock['segments'][number];
