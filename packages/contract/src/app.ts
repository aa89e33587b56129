// Apps and their components, as stored, sent and shown.

import { z } from 'zod';
import { policySchema } from './policy.ts';
import { appIdSchema, bytesSchema, labelSchema, snapshotIdSchema, timeSchema } from './primitives.ts';

/** Name of a component inside its app; a folder name in the snapshot. */
export const componentNameSchema = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a component name has letters, digits, dots, hyphens and underscores')
  .meta({ id: 'ComponentName' });

const absolutePathSchema = z.string().max(4096).startsWith('/');

/** Files: a Docker volume, a bind mount, or a folder of the host. */
export const volumeComponentSchema = z
  .strictObject({
    kind: z.literal('volume'),
    name: componentNameSchema,
    source: z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('docker-volume'), volume: z.string().min(1).max(255) }),
      z.strictObject({ type: z.literal('folder'), path: absolutePathSchema }),
    ]),
    /** Patterns as in restic's --exclude, relative to the component. */
    excludes: z.array(z.string().min(1).max(1000)).max(200).default([]),
  })
  .meta({ id: 'VolumeComponent' });
export type VolumeComponent = z.infer<typeof volumeComponentSchema>;

export const databaseMethodSchema = z.enum(['dump', 'base', 'both']).meta({ id: 'DatabaseMethod' });
export type DatabaseMethod = z.infer<typeof databaseMethodSchema>;

/** How fast the files of a base backup may be read, by the server or here, in kB/s: what PostgreSQL's MAX_RATE takes. */
export const baseRateSchema = z.number().int().min(32).max(1_048_576);

export const databaseReadThroughSchema = z.enum(['auto', 'volume', 'stream']).meta({ id: 'DatabaseReadThrough' });

/** The folder into which a server's own archive_command copies its log. */
export const walArchiveSchema = z
  .strictObject({
    /** As the server sees it, in its container or on its host. */
    directory: absolutePathSchema.regex(
      /^[^"'`$\\%\n\r\0]*$/,
      'the path stands in archive_command: it may have no quotes, $, %, backslashes or line breaks',
    ),
    /** The same folder as Varve sees it; absent: found through the mounts of the container, or the same path. */
    readFrom: absolutePathSchema.optional(),
  })
  .meta({ id: 'WalArchive' });
export type WalArchive = z.infer<typeof walArchiveSchema>;

/** A PostgreSQL cluster. */
export const databaseComponentSchema = z
  .strictObject({
    kind: z.literal('database'),
    name: componentNameSchema,
    engine: z.literal('postgresql').default('postgresql'),
    /** dump: pg_dump of every database and the roles. base: the cluster's files, as a physical base backup. both: one of each. */
    method: databaseMethodSchema.default('dump'),
    source: z.discriminatedUnion('type', [
      /** In a container of the app; programs run inside it. */
      z.strictObject({
        type: z.literal('container'),
        service: z.string().min(1).max(255),
        user: z.string().min(1).max(63),
        port: z.number().int().min(1).max(65535).default(5432),
      }),
      /** Reached by a URL, which is kept as a secret and sent only when the app is added. */
      z.strictObject({ type: z.literal('url'), urlSecret: z.string().min(1).max(100), display: z.string().max(500) }),
    ]),
    /** How a `base` is read; auto when absent: from the data folder where it can be read here, otherwise sent by the server. */
    readThrough: databaseReadThroughSchema.optional(),
    /** For reading the files of a `base`; without limit when absent. */
    maxRateKBps: baseRateSchema.optional(),
    /** On a host without Docker: the cluster's data folder, needed to put a `base` back. */
    dataDirectory: absolutePathSchema.optional(),
    /** Where the cluster's own programs are (pg_ctl). */
    binDirectory: absolutePathSchema.optional(),
    /** Databases that are left out. */
    excludes: z.array(z.string().min(1).max(63)).max(1000).default([]),
    /** Whether the server captures the write-ahead log of it, so that it can be brought back to any second. */
    wal: z.boolean().optional(),
    /** With `wal`: the log is taken from a folder that archive_command fills, not streamed. */
    walArchive: walArchiveSchema.optional(),
  })
  .meta({ id: 'DatabaseComponent' });
export type DatabaseComponent = z.infer<typeof databaseComponentSchema>;

/** A git checkout. */
export const codeComponentSchema = z
  .strictObject({ kind: z.literal('code'), name: componentNameSchema, path: absolutePathSchema })
  .meta({ id: 'CodeComponent' });
export type CodeComponent = z.infer<typeof codeComponentSchema>;

/** Files that describe the app: compose files, .env; container specifications and image digests come by themselves. */
export const configComponentSchema = z
  .strictObject({
    kind: z.literal('config'),
    name: componentNameSchema,
    files: z.array(absolutePathSchema).max(100).default([]),
  })
  .meta({ id: 'ConfigComponent' });
export type ConfigComponent = z.infer<typeof configComponentSchema>;

export const componentSchema = z
  .discriminatedUnion('kind', [
    volumeComponentSchema,
    databaseComponentSchema,
    codeComponentSchema,
    configComponentSchema,
  ])
  .meta({ id: 'Component' });
export type Component = z.infer<typeof componentSchema>;

const appOriginSchema = z.discriminatedUnion('type', [
  /** A Compose project, or the containers that share a `varve.app` label. */
  z.strictObject({
    type: z.literal('docker'),
    project: z.string().min(1).max(255),
    grouping: z.enum(['compose', 'label']),
  }),
  /** Folders, a PostgreSQL URL and git checkouts on a host, with commands that stop and start the app. */
  z.strictObject({
    type: z.literal('host'),
    stopCommand: z.array(z.string()).max(100).optional(),
    startCommand: z.array(z.string()).max(100).optional(),
  }),
]);

export const appSchema = z
  .strictObject({
    id: appIdSchema,
    name: labelSchema,
    origin: appOriginSchema,
    components: z.array(componentSchema).min(1).max(500),
    policy: policySchema,
    repositoryId: z.string().min(1),
    createdAt: timeSchema,
  })
  .meta({ id: 'App' });
export type App = z.infer<typeof appSchema>;

/** How well an app is protected, as facts; the sentence is made from it in the reader's language. */
export const protectionSchema = z
  .strictObject({
    /** protected: a good snapshot within the limit. late: the newest one is older. failing: the last run failed. never: none yet. */
    level: z.enum(['protected', 'late', 'failing', 'never']),
    lastSnapshotAt: timeSchema.nullable(),
    lastSnapshotId: snapshotIdSchema.nullable(),
    /** Whether the newest snapshot misses files that could not be read. */
    lastSnapshotPartial: z.boolean(),
    snapshotCount: z.number().int().nonnegative(),
    oldestSnapshotAt: timeSchema.nullable(),
    nextRunAt: timeSchema.nullable(),
    /** Code and message of the failure, when level is failing. */
    failure: z.strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() }).nullable(),
    /** The job that works on the app now. */
    runningJobId: z.string().nullable(),
  })
  .meta({ id: 'Protection' });
export type Protection = z.infer<typeof protectionSchema>;

export const appOverviewSchema = z
  .strictObject({ app: appSchema, protection: protectionSchema, bytes: bytesSchema.nullable() })
  .meta({ id: 'AppOverview' });
export type AppOverview = z.infer<typeof appOverviewSchema>;

/** An app found on this host that can be added as it is. */
export const discoveredAppSchema = z
  .strictObject({
    suggestedId: appIdSchema,
    name: labelSchema,
    origin: appOriginSchema,
    components: z.array(componentSchema),
    containers: z.array(
      z.strictObject({ name: z.string(), service: z.string(), image: z.string(), state: z.string() }),
    ),
    isOdoo: z.boolean(),
    /** What would not be saved, and why (a tmpfs, an excluded container, a socket …). */
    notSaved: z.array(z.strictObject({ what: z.string(), reason: z.string() })),
    /** Id of the app that already protects it. */
    addedAs: appIdSchema.nullable(),
  })
  .meta({ id: 'DiscoveredApp' });
export type DiscoveredApp = z.infer<typeof discoveredAppSchema>;

/** How a host app's database is given when the app is added. */
const newHostDatabaseSchema = z.strictObject({
  name: componentNameSchema.default('db'),
  url: z.string().min(1).max(2000),
  method: databaseMethodSchema.default('dump'),
  maxRateKBps: baseRateSchema.optional(),
  readThrough: databaseReadThroughSchema.optional(),
  dataDirectory: absolutePathSchema.optional(),
  binDirectory: absolutePathSchema.optional(),
  wal: z.boolean().default(false),
});

/** What can be changed of a database component later; what is absent stays. A rate of null takes the limit away. */
export const databaseChangeSchema = z
  .strictObject({
    method: databaseMethodSchema.optional(),
    maxRateKBps: baseRateSchema.nullable().optional(),
    readThrough: databaseReadThroughSchema.optional(),
  })
  .meta({ id: 'DatabaseChange' });
export type DatabaseChange = z.infer<typeof databaseChangeSchema>;

/** Adds a discovered Docker app, or one made of folders, databases and checkouts of this host. */
export const newAppSchema = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('docker'),
      project: z.string().min(1).max(255),
      id: appIdSchema.optional(),
      name: labelSchema.optional(),
      /** Names of discovered components to leave out. */
      withoutComponents: z.array(componentNameSchema).default([]),
      /** Git checkouts that are not mounted into any container. */
      code: z.array(absolutePathSchema).default([]),
      /** How its databases are saved. */
      databaseMethod: databaseMethodSchema.default('dump'),
      maxRateKBps: baseRateSchema.optional(),
      /** Capture the write-ahead log of its databases. */
      wal: z.boolean().default(false),
      policy: policySchema.prefault({}),
    }),
    z.strictObject({
      type: z.literal('host'),
      id: appIdSchema,
      name: labelSchema.optional(),
      folders: z.array(absolutePathSchema).default([]),
      databases: z.array(newHostDatabaseSchema).default([]),
      code: z.array(absolutePathSchema).default([]),
      configFiles: z.array(absolutePathSchema).default([]),
      stopCommand: z.array(z.string()).optional(),
      startCommand: z.array(z.string()).optional(),
      policy: policySchema.prefault({}),
    }),
  ])
  .meta({ id: 'NewApp' });
export type NewApp = z.infer<typeof newAppSchema>;
export type NewAppInput = z.input<typeof newAppSchema>;
