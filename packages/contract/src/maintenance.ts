// Care of the repository: giving back the space of what was forgotten, and checks. What is due when, and what a prune would do.

import { z } from 'zod';
import { checkScopeSchema, jobSchema } from './job.ts';
import { bytesSchema, timeSchema } from './primitives.ts';

/** What is done without being asked. */
export const maintenanceSettingsSchema = z
  .strictObject({
    /** Give back, once a day at most, the space of what was forgotten. */
    prune: z.boolean().default(true),
    check: z.boolean().default(true),
    checkEveryDays: z.number().int().min(1).max(90).default(7),
    /** All data is read within so many days, a part with each check; 0 reads no data. */
    readDataDays: z.number().int().min(0).max(3650).default(28),
  })
  .meta({ id: 'MaintenanceSettings' });
export type MaintenanceSettings = z.infer<typeof maintenanceSettingsSchema>;

const packsSchema = z.strictObject({ packs: z.number().int().nonnegative(), bytes: bytesSchema });

/** What a prune would do now. A pack is a file of the repository that holds many pieces of data. */
export const prunePreviewSchema = z
  .strictObject({
    snapshots: z.number().int().nonnegative(),
    /** All packs, now and then. */
    sizeBytes: bytesSchema,
    sizeAfterBytes: bytesSchema,
    freedBytes: bytesSchema,
    /** What the snapshots use. It stays, whatever goes. */
    usedBytes: bytesSchema,
    /** Not used, and stays all the same: rewriting would cost more than it gives back. */
    unusedAfterBytes: bytesSchema,
    /** How much of the repository may stay unused. */
    maxUnusedPercent: z.number(),
    /** Nothing in them is used: they go. */
    remove: packsSchema,
    /** Partly used: what is used is copied, then they go. `unusedBytes` of them are not used. */
    repack: packsSchema.extend({ unusedBytes: bytesSchema }),
    /** Left by runs that were interrupted: they go, unless a backup that runs now is writing them. */
    unreferenced: packsSchema,
    keptPacks: z.number().int().nonnegative(),
  })
  .meta({ id: 'PrunePreview' });
export type PrunePreview = z.infer<typeof prunePreviewSchema>;

/** What was done last for the repository and what is done next. A time in the past is due now; null for never. */
export const maintenanceSchema = z
  .strictObject({
    prune: z.strictObject({
      /** Since when there is something to give back; null when nothing was forgotten since the last prune. */
      pendingSince: timeSchema.nullable(),
      nextAt: timeSchema.nullable(),
      last: jobSchema.nullable(),
    }),
    check: z.strictObject({
      nextAt: timeSchema.nullable(),
      nextScope: checkScopeSchema,
      last: jobSchema.nullable(),
    }),
  })
  .meta({ id: 'Maintenance' });
export type Maintenance = z.infer<typeof maintenanceSchema>;
