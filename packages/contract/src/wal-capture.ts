// How the capture of a database's write-ahead log stands: from the server into the spool, and from the spool into the repository.

import { z } from 'zod';
import { componentNameSchema } from './app.ts';
import { appIdSchema, bytesSchema, timeSchema } from './primitives.ts';
import { lsnSchema, walGapReasonSchema } from './wal-block.ts';

const problemSchema = z.strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() });

/** What is known of a folder that archive_command fills. */
const walArchiveStateSchema = z.strictObject({
  /** As the server sees it. */
  directory: z.string(),
  /** As Varve sees it; null while it was not found. */
  readFrom: z.string().nullable(),
  /** Segments that are in the folder now. */
  waitingFiles: z.number().int().nonnegative(),
  waitingBytes: bytesSchema,
  /** Of its file system; null while unknown. */
  freeBytes: bytesSchema.nullable(),
  totalBytes: bytesSchema.nullable(),
  /** What the server said last; null before it was asked. */
  server: z
    .strictObject({
      checkedAt: timeSchema,
      mode: z.enum(['off', 'on', 'always']),
      /** Whether there is an archive_command or an archive_library. */
      hasCommand: z.boolean(),
      /** archive_timeout: log of a quiet database leaves the server after so long; 0: when a segment is full. */
      timeoutSeconds: z.number().int().nonnegative(),
      lastArchivedAt: timeSchema.nullable(),
      lastFailedAt: timeSchema.nullable(),
      isFailing: z.boolean(),
    })
    .nullable(),
});

/** What a server needs so that its log comes into a folder, and what of it is missing. */
export const walSettingsSchema = z
  .strictObject({
    component: componentNameSchema,
    directory: z.string(),
    /** For postgresql.conf. */
    lines: z.array(z.string()),
    /** Whether the server has to be restarted for them; null when it could not be asked. */
    needsRestart: z.boolean().nullable(),
    /** What is missing or dangerous now, the worst first; empty when log comes as it should, or the server could not be asked. */
    obstacles: z.array(z.strictObject({ severity: z.enum(['blocks', 'risk']), message: z.string(), hint: z.string() })),
  })
  .meta({ id: 'WalSettings' });
export type WalSettings = z.infer<typeof walSettingsSchema>;

export const walCaptureSchema = z
  .strictObject({
    appId: appIdSchema,
    component: componentNameSchema,
    /** How log comes: streamed by the server, or by its archive_command through a folder. */
    way: z.enum(['stream', 'archive']).default('stream'),
    /** Name of the replication slot; null when log comes through a folder. */
    slot: z.string().nullable(),
    /**
     * starting: no WAL has come yet. streaming: it comes, in whichever way. reconnecting: the connection was lost and is tried again.
     * blocked: there is no room in the spool; the server keeps the WAL. stopped: it needs help, and is tried again now and then.
     * off: no Varve server runs that would capture.
     */
    state: z.enum(['starting', 'streaming', 'reconnecting', 'blocked', 'stopped', 'off']),
    /** Since when it is in this state. */
    since: timeSchema,
    /** Why it does not stream. */
    problem: problemSchema.nullable(),
    /** Why what was captured cannot be stored in the repository. */
    commitProblem: problemSchema.nullable(),
    systemId: z.string().nullable(),
    timeline: z.number().int().nullable(),
    /** End of the log on the server, as last heard. */
    serverLsn: lsnSchema.nullable(),
    /** Everything before is in the spool, durable. */
    capturedLsn: lsnSchema.nullable(),
    /** Everything before is in the repository. */
    committedLsn: lsnSchema.nullable(),
    /** When the repository last had everything that the server had. */
    completeAt: timeSchema.nullable(),
    lastCommitAt: timeSchema.nullable(),
    spoolBytes: bytesSchema,
    /** The spool does not grow above it; the server keeps what is more. */
    spoolLimitBytes: bytesSchema,
    /** What the server says of the slot; null before it was asked. */
    slotFacts: z
      .strictObject({
        checkedAt: timeSchema,
        /** WAL that the server keeps for it. */
        retainedBytes: bytesSchema.nullable(),
        status: z.enum(['reserved', 'extended', 'unreserved', 'lost']).nullable(),
        /** WAL that may still be written before the slot is in danger; null without a limit. May be negative. */
        safeBytes: z.number().int().nullable(),
        /** max_slot_wal_keep_size; null: none, so a slot that nobody reads fills the server's disk. */
        keepLimitBytes: bytesSchema.nullable(),
      })
      .nullable(),
    /** The folder and the server's archiver; null when log is streamed. */
    archive: walArchiveStateSchema.nullable().default(null),
    /** The last place where log is missing. */
    gap: z.strictObject({ reason: walGapReasonSchema, detectedAt: timeSchema, message: z.string() }).nullable(),
    /** Whether a base backup lies in what was captured without a gap; null while unknown. Without one nothing can be recovered. */
    hasBaseBackup: z.boolean().nullable(),
    updatedAt: timeSchema,
  })
  .meta({ id: 'WalCapture' });
export type WalCapture = z.infer<typeof walCaptureSchema>;
