import { describe, expect, test } from 'vitest';
import {
  appIdSchema,
  componentSchema,
  newAppSchema,
  policySchema,
  restoreRunSchema,
  settingsSchema,
} from '../src/index.ts';

describe('a policy', () => {
  test('needs nothing from the user: every 4 hours, 7 daily, 4 weekly, 6 monthly, an alert after 24 hours', () => {
    expect(policySchema.parse({})).toEqual({
      schedule: { enabled: true, cron: '0 */4 * * *', timeZone: 'UTC' },
      consistency: 'live',
      retention: { keepLast: 0, keepHourly: 0, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, keepYearly: 0 },
      pointInTime: { windowDays: 7, commitSeconds: 10 },
      alertAfterHours: 24,
    });
  });

  test('that would keep no snapshot at all is refused', () => {
    const none = { keepLast: 0, keepHourly: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 };
    expect(policySchema.safeParse({ retention: none }).success).toBe(false);
    expect(policySchema.safeParse({ retention: { ...none, keepLast: 1 } }).success).toBe(true);
  });

  test('with an unknown field is refused', () => {
    expect(policySchema.safeParse({ retention: { keepFortnightly: 3 } }).success).toBe(false);
  });
});

describe('names', () => {
  test.each(['a', 'odoo-shop', 'x1', 'a'.repeat(64)])('%s is an app id', (id) => {
    expect(appIdSchema.safeParse(id).success).toBe(true);
  });

  test.each(['', '-a', 'a-', 'A', 'a b', '../etc', 'a/b', 'a'.repeat(65)])('%j is no app id', (id) => {
    expect(appIdSchema.safeParse(id).success).toBe(false);
  });

  test('a component cannot be named so that its folder leaves the snapshot', () => {
    for (const name of ['..', '.', '../x', 'a/b', '']) {
      const component = { kind: 'code', name, path: '/srv/app' };
      expect(componentSchema.safeParse(component).success).toBe(false);
    }
  });
});

describe('requests', () => {
  test('an app of folders is described by its paths alone', () => {
    const app = newAppSchema.parse({ type: 'host', id: 'notes', folders: ['/srv/notes'] });
    expect(app).toMatchObject({ databases: [], code: [], policy: { consistency: 'live' } });
    expect(newAppSchema.safeParse({ type: 'host', id: 'notes', folders: ['relative'] }).success).toBe(false);
  });

  test('a restore takes a safety snapshot unless told otherwise, and needs the fingerprint of the plan that was shown', () => {
    const snapshotId = 'ab'.repeat(32);
    expect(restoreRunSchema.parse({ snapshotId, fingerprint: 'f' }).safetySnapshot).toBe(true);
    expect(restoreRunSchema.safeParse({ snapshotId }).success).toBe(false);
  });

  test('settings as read have no place for the e-mail password', () => {
    expect(settingsSchema.safeParse({ emailPasswordSet: true, emailPassword: 'x' }).success).toBe(false);
  });
});
