// Small schemas that the others are made of. This room runs in a browser too: no Node module is imported here.

import { z } from 'zod';

/** Identity of an app: lowercase letters, digits and hyphens; part of tags and URLs, never changed. */
export const appIdSchema = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, 'an app id has 1 to 64 lowercase letters, digits and hyphens')
  .meta({ id: 'AppId', example: 'odoo-shop' });

/** restic's snapshot id: 64 lowercase hex digits. */
export const snapshotIdSchema = z.string().regex(/^[0-9a-f]{64}$/);

/** Time as RFC 3339 in UTC. */
export const timeSchema = z.iso.datetime({ offset: true });

/** Bytes, not negative. */
export const bytesSchema = z.number().int().nonnegative();

/** A name that people gave: one line, 1 to 200 characters. */
export const labelSchema = z
  .string()
  .trim()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}]*$/u, 'a name is one line of text');
