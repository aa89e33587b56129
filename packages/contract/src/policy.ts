// The policy of an app: when it is snapshotted, how consistent, how long snapshots are kept, when to raise an alarm.

import { z } from 'zod';

const keepCountSchema = z.number().int().min(0).max(10_000);

/** How many snapshots of each kind of calendar bucket stay, by restic's `forget` rules. At least one rule is above 0. */
export const retentionSchema = z
  .strictObject({
    keepLast: keepCountSchema.default(0),
    keepHourly: keepCountSchema.default(0),
    keepDaily: keepCountSchema.default(7),
    keepWeekly: keepCountSchema.default(4),
    keepMonthly: keepCountSchema.default(6),
    keepYearly: keepCountSchema.default(0),
  })
  .refine((rules) => Object.values(rules).some((count) => count > 0), {
    message: 'keep at least one snapshot: a policy that keeps none would delete every snapshot',
  })
  .meta({ id: 'Retention' });
export type Retention = z.infer<typeof retentionSchema>;

/**
 * live: nothing is interrupted; databases are saved at one point each, files after them.
 * pause: the app's other containers are frozen while files are read.
 * stop: the app's other containers are stopped while files are read.
 */
export const consistencySchema = z.enum(['live', 'pause', 'stop']).meta({ id: 'Consistency' });
export type Consistency = z.infer<typeof consistencySchema>;

export const policySchema = z
  .strictObject({
    schedule: z
      .strictObject({
        enabled: z.boolean().default(true),
        /** Cron expression with five fields. */
        cron: z.string().trim().min(1).max(200).default('0 */4 * * *'),
        /** IANA time zone in which the cron expression is read. */
        timeZone: z.string().min(1).max(100).default('UTC'),
      })
      .prefault({}),
    consistency: consistencySchema.default('live'),
    retention: retentionSchema.prefault({}),
    /** For databases whose write-ahead log is captured. */
    pointInTime: z
      .strictObject({
        /** Any second of so many days can be reached; older log is removed. */
        windowDays: z.number().min(1).max(3650).default(7),
        /** The repository is at most this far behind what is captured. */
        commitSeconds: z.number().int().min(1).max(3600).default(10),
      })
      .prefault({}),
    /** Hours without a good snapshot after which an alert opens. */
    alertAfterHours: z.number().min(1).max(8760).default(24),
  })
  .meta({ id: 'Policy' });
export type Policy = z.infer<typeof policySchema>;
export type PolicyInput = z.input<typeof policySchema>;
