// `/manifest.json` of an app snapshot: what is in it and at which point. It is all that is needed to rebuild the catalogue
// from the repository. Readers accept unknown keys; a field never changes its meaning within a format version.

import { z } from 'zod';
import { appSchema } from './app.ts';
import { consistencySchema } from './policy.ts';
import { bytesSchema, timeSchema } from './primitives.ts';

export const snapshotKindSchema = z
  .enum(['manual', 'scheduled', 'pre-deploy', 'pre-restore'])
  .meta({ id: 'SnapshotKind' });
export type SnapshotKind = z.infer<typeof snapshotKindSchema>;

const savedFilesSchema = z.object({
  kind: z.literal('volume'),
  name: z.string(),
  /** Where it is in the snapshot, e.g. `/volumes/web-data`. */
  path: z.string(),
  source: z.string(),
  /** host: read from the host's path. archive: read through the Engine's archive API. */
  readThrough: z.enum(['host', 'archive']),
  /** Driver, labels and options that recreate a Docker volume. */
  dockerVolume: z
    .object({
      name: z.string(),
      driver: z.string(),
      labels: z.record(z.string(), z.string()),
      options: z.record(z.string(), z.string()),
    })
    .nullable(),
  files: z.number().int(),
  bytes: bytesSchema,
});

const savedDatabasesSchema = z.array(
  z.object({
    name: z.string(),
    path: z.string(),
    bytes: bytesSchema,
    owner: z.string(),
    encoding: z.string(),
    collate: z.string(),
    ctype: z.string(),
  }),
);

const savedDatabaseSchema = z.object({
  kind: z.literal('database'),
  name: z.string(),
  method: z.enum(['dump', 'base']),
  path: z.string(),
  /** How the files of a `base` were read: from the data folder, or sent by the server. Absent in old manifests and for dumps. */
  readThrough: z.enum(['volume', 'stream']).optional(),
  serverVersion: z.string(),
  systemId: z.string().nullable(),
  /** Write-ahead log position when the first dump began, or the start of the base backup, e.g. `0/3000028`. */
  walLsn: z.string().nullable(),
  /** End of the base backup: the earliest point at which it is consistent. */
  walEndLsn: z.string().nullable(),
  timeline: z.number().int().nullable(),
  databases: savedDatabasesSchema,
  /** The roles and their passwords as SQL. */
  globalsPath: z.string().nullable(),
  /** Of what `method` names. */
  bytes: bytesSchema,
  /** With the method `base`: the dumps that were made beside it. */
  dump: z
    .object({
      path: z.string(),
      databases: savedDatabasesSchema,
      globalsPath: z.string().nullable(),
      bytes: bytesSchema,
    })
    .optional(),
});

const savedCodeSchema = z.object({
  kind: z.literal('code'),
  name: z.string(),
  path: z.string(),
  source: z.string(),
  commit: z.string().nullable(),
  branch: z.string().nullable(),
  /** Whether the work tree differed from the commit. */
  dirty: z.boolean(),
  remotes: z.record(z.string(), z.string()),
  bytes: bytesSchema,
});

const savedConfigSchema = z.object({
  kind: z.literal('config'),
  name: z.string(),
  path: z.string(),
  files: z.array(z.object({ source: z.string(), path: z.string() })),
  containers: z.array(
    z.object({
      name: z.string(),
      service: z.string(),
      image: z.string(),
      imageId: z.string(),
      imageDigest: z.string().nullable(),
      wasRunning: z.boolean(),
    }),
  ),
});

export const savedComponentSchema = z
  .discriminatedUnion('kind', [savedFilesSchema, savedDatabaseSchema, savedCodeSchema, savedConfigSchema])
  .meta({ id: 'SavedComponent' });
export type SavedComponent = z.infer<typeof savedComponentSchema>;
export type SavedVolume = z.infer<typeof savedFilesSchema>;
export type SavedDatabase = z.infer<typeof savedDatabaseSchema>;
export type SavedCode = z.infer<typeof savedCodeSchema>;
export type SavedConfig = z.infer<typeof savedConfigSchema>;

export const manifestSchema = z
  .object({
    format: z.literal('varve-app-snapshot'),
    formatVersion: z.literal(1),
    varveVersion: z.string(),
    /** The app as it was set up, without any secret. */
    app: appSchema,
    kind: snapshotKindSchema,
    name: z.string().nullable(),
    description: z.string().nullable(),
    consistency: consistencySchema,
    startedAt: timeSchema,
    finishedAt: timeSchema,
    components: z.array(savedComponentSchema),
    /** Files that could not be read; not empty means that the snapshot is partial. */
    problems: z.array(z.object({ path: z.string(), message: z.string() })),
  })
  .meta({ id: 'Manifest' });
export type Manifest = z.infer<typeof manifestSchema>;
