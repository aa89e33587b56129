// Everything about the installation itself: the repository, alerts, settings, accounts, checks by `doctor`, errors.

import { z } from 'zod';
import { maintenanceSettingsSchema } from './maintenance.ts';
import { appIdSchema, timeSchema } from './primitives.ts';

export const repositoryInfoSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    /** Without passwords. */
    location: z.string(),
    state: z.enum(['ready', 'unreachable', 'damaged']),
    problem: z.string().nullable(),
    freeBytes: z.number().nullable(),
    /** Whether the owner has confirmed that the recovery kit is stored elsewhere. */
    recoveryKitConfirmed: z.boolean(),
  })
  .meta({ id: 'RepositoryInfo' });
export type RepositoryInfo = z.infer<typeof repositoryInfoSchema>;

/** One thing that was tried of the place where the repository is. */
export const storageCheckSchema = z
  .strictObject({
    name: z.enum(['create', 'save', 'overwrite-refused', 'read', 'list', 'concurrency', 'remove', 'clock']),
    /** skipped: cannot be tried there, or an earlier failure makes it pointless. */
    outcome: z.enum(['passed', 'failed', 'skipped']),
    /** What was seen, or what failed. */
    detail: z.string(),
    hint: z.string().nullable(),
    /** Of a failure. */
    code: z.string().nullable(),
    durationMs: z.number().nonnegative(),
  })
  .meta({ id: 'StorageCheck' });
export type StorageCheck = z.infer<typeof storageCheckSchema>;

/** All that is needed to read the repository without Varve. Shown only after the password was given again. */
export const recoveryKitSchema = z
  .strictObject({ location: z.string(), password: z.string(), repositoryId: z.string(), commands: z.array(z.string()) })
  .meta({ id: 'RecoveryKit' });
export type RecoveryKit = z.infer<typeof recoveryKitSchema>;

export const alertSchema = z
  .strictObject({
    id: z.string(),
    appId: appIdSchema.nullable(),
    code: z.enum([
      'job-failed',
      'no-backup',
      'backup-late',
      'snapshot-partial',
      /** The write-ahead log of a database is not captured. */
      'wal-stopped',
      /** It is captured, but the repository is far behind. */
      'wal-lag',
      /** Log is missing, and there is no base backup behind it yet. */
      'wal-gap',
      /** What the server keeps for the capture fills its disk, or is about to be removed. */
      'wal-slot',
    ]),
    message: z.string(),
    openedAt: timeSchema,
    closedAt: timeSchema.nullable(),
    /** When the last e-mail about it went out. */
    notifiedAt: timeSchema.nullable(),
    notifyProblem: z.string().nullable(),
  })
  .meta({ id: 'Alert' });
export type Alert = z.infer<typeof alertSchema>;

export const emailSettingsSchema = z
  .strictObject({
    enabled: z.boolean().default(false),
    host: z.string().max(255).default(''),
    port: z.number().int().min(1).max(65535).default(587),
    /** tls: TLS from the first byte. starttls: upgraded, refused when the server cannot. none: plain. */
    security: z.enum(['tls', 'starttls', 'none']).default('starttls'),
    user: z.string().max(255).default(''),
    from: z.string().max(320).default(''),
    to: z.array(z.email()).max(20).default([]),
    language: z.enum(['en', 'es']).default('en'),
  })
  .meta({ id: 'EmailSettings' });
export type EmailSettings = z.infer<typeof emailSettingsSchema>;

/** Settings as read; the SMTP password is never sent back, only whether there is one. */
export const settingsSchema = z
  .strictObject({
    email: emailSettingsSchema.prefault({}),
    emailPasswordSet: z.boolean(),
    maintenance: maintenanceSettingsSchema.prefault({}),
  })
  .meta({ id: 'Settings' });
export type Settings = z.infer<typeof settingsSchema>;

/** What is absent stays as it is; an empty password removes the one that is set. */
export const settingsUpdateSchema = z
  .strictObject({
    email: emailSettingsSchema.optional(),
    emailPassword: z.string().max(1000).optional(),
    maintenance: maintenanceSettingsSchema.optional(),
  })
  .meta({ id: 'SettingsUpdate' });
export type SettingsUpdate = z.infer<typeof settingsUpdateSchema>;

/** First thing a browser asks: is there an owner yet, and who am I. */
export const sessionStateSchema = z
  .strictObject({
    setupNeeded: z.boolean(),
    user: z.strictObject({ id: z.string(), email: z.string(), name: z.string() }).nullable(),
    version: z.string(),
  })
  .meta({ id: 'SessionState' });
export type SessionState = z.infer<typeof sessionStateSchema>;

export const newOwnerSchema = z
  .strictObject({
    name: z.string().trim().min(1).max(100),
    email: z.email().max(320),
    password: z.string().min(10).max(200),
    /** Printed by the server at its first start, so that only who can read its output can claim it. */
    setupToken: z.string().min(1).max(200),
  })
  .meta({ id: 'NewOwner' });
export type NewOwner = z.infer<typeof newOwnerSchema>;

export const signInSchema = z
  .strictObject({ email: z.email().max(320), password: z.string().min(1).max(200) })
  .meta({ id: 'SignIn' });
export type SignIn = z.infer<typeof signInSchema>;

export const doctorCheckSchema = z
  .strictObject({
    name: z.string(),
    state: z.enum(['ok', 'warning', 'failed']),
    message: z.string(),
    hint: z.string().nullable(),
  })
  .meta({ id: 'DoctorCheck' });
export type DoctorCheck = z.infer<typeof doctorCheckSchema>;

/** Body of every answer that is not a success. */
export const apiErrorSchema = z
  .strictObject({
    error: z.strictObject({
      code: z.string(),
      message: z.string(),
      hint: z.string().nullable(),
      context: z.record(z.string(), z.unknown()).optional(),
    }),
  })
  .meta({ id: 'ApiError' });
export type ApiError = z.infer<typeof apiErrorSchema>;
