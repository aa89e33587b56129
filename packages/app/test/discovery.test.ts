// What is told about apps before anything is saved: which paths belong to the host, names, URLs, what can be added.

import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { newAppSchema, type NewAppInput } from '@varve/contract';
import { describe, expect, test } from 'vitest';
import { findCheckoutRoot, redactRemote } from '../src/components/code/checkout.ts';
import { fileNameOf } from '../src/components/database/save-dump.ts';
import { ComponentNames, suggestAppId } from '../src/discovery/component-names.ts';
import { hostPathReason } from '../src/discovery/host-paths.ts';
import { planNewApp } from '../src/discovery/plan-new-app.ts';
import { temporaryFolder } from './engine-fixture.ts';

const plan = (input: NewAppInput) => planNewApp({ input: newAppSchema.parse(input), discovered: [] });

describe('paths of the host', () => {
  test.each([
    '/',
    '/etc',
    '/proc',
    '/sys/fs/cgroup',
    '/dev/dri',
    '/run/user/1000',
    '/var/run/docker.sock',
    '/etc/localtime',
    '/var/lib/docker/volumes',
    '/home',
    '/lib/modules',
  ])('%s is no data of an app', (path) => {
    expect(hostPathReason(path)).not.toBeNull();
  });
  test.each(['/srv/shop', '/etc/letsencrypt', '/home/ana/shop', '/var/lib/odoo', '/opt/shop/data', '/root/shop'])(
    '%s may be data of an app',
    (path) => {
      expect(hostPathReason(path)).toBeNull();
    },
  );
});

describe('names', () => {
  test('of components are unique without regard to case and fit for folders', () => {
    const names = new ComponentNames();
    expect(['data', 'Data', 'año nuevo', '...', ''].map((wish) => names.take(wish))).toEqual([
      'data',
      'Data-2',
      'a-o-nuevo',
      'data-3',
      'data-4',
    ]);
  });
  test('of apps become ids', () => {
    expect(suggestAppId('Mi Tienda_2024!')).toBe('mi-tienda-2024');
    expect(suggestAppId('---')).toBe('app');
  });
  test('of databases become file names that cannot leave their folder', () => {
    expect(fileNameOf('../etc/pässwd')).toBe('%2E%2E%2Fetc%2Fp%C3%A4sswd');
    expect(fileNameOf('shop_prod-1')).toBe('shop_prod-1');
  });
});

test.each([
  ['https://user:token@example.org/a.git', 'https://example.org/a.git'],
  ['https://token@example.org/a.git', 'https://example.org/a.git'],
  ['ssh://git@example.org/a.git', 'ssh://git@example.org/a.git'],
  ['ssh://git:pw@example.org/a.git', 'ssh://example.org/a.git'],
  ['git@example.org:shop/a.git', 'git@example.org:shop/a.git'],
  ['https://example.org/a.git?access_token=x', 'https://example.org/a.git'],
  ['/srv/git/a.git', '/srv/git/a.git'],
])('the remote %s is shown as %s', (url, shown) => {
  expect(redactRemote(url)).toBe(shown);
});

describe('a new host app', () => {
  test('is made of folders, checkouts and URLs whose passwords become secrets', async () => {
    await using folder = await temporaryFolder();
    const data = join(folder.path, 'data');
    const code = join(folder.path, 'code');
    await mkdir(join(code, 'sub'), { recursive: true });
    await mkdir(data);
    await execa('git', ['init', '-q', code]);
    await writeFile(join(folder.path, 'app.conf'), 'x');
    const app = await plan({
      type: 'host',
      id: 'shop',
      folders: [data],
      code: [join(code, 'sub')],
      configFiles: [join(folder.path, 'app.conf')],
      databases: [{ url: 'postgresql://ana:s3cret@db.example.org:6432/shop' }],
    });
    expect(app.components).toMatchObject([
      {
        kind: 'database',
        name: 'db',
        method: 'dump',
        source: { type: 'url', display: 'postgresql://ana@db.example.org:6432/shop' },
      },
      { kind: 'volume', name: 'data', source: { path: data } },
      { kind: 'code', path: code },
      { kind: 'config', files: [join(folder.path, 'app.conf')] },
    ]);
    expect(JSON.stringify(app)).not.toContain('s3cret');
    expect(app.secrets.map(({ value }) => value.reveal())).toEqual([
      'postgresql://ana:s3cret@db.example.org:6432/shop',
    ]);
  });

  test.each([
    ['nothing', {}, 'nothing to save'],
    ['a folder that is not there', { folders: ['/nowhere/at-all'] }, '/nowhere/at-all'],
    ['a folder of the host', { folders: ['/etc'] }, '/etc'],
    ['a folder that is no checkout', { code: ['/usr/bin'] }, '/usr/bin'],
    ['a file as folder', { folders: ['/etc/passwd'] }, 'is not a folder'],
    [
      'a base backup without data folder',
      { databases: [{ url: 'postgresql://a@localhost/b', method: 'base' as const }] },
      'data folder',
    ],
  ])('of %s is refused', async (_, input, text) => {
    await expect(plan({ type: 'host', id: 'shop', ...input })).rejects.toMatchObject({
      code: 'APP_INVALID',
      message: expect.stringContaining(text),
    });
  });

  test('of an unknown project is refused', async () => {
    await expect(plan({ type: 'docker', project: 'nope' })).rejects.toMatchObject({ code: 'APP_NOT_FOUND' });
  });
});

test('a checkout is found from any folder in it, also through a link', async () => {
  await using folder = await temporaryFolder();
  const code = join(folder.path, 'code');
  await mkdir(join(code, 'a/b'), { recursive: true });
  await execa('git', ['init', '-q', code]);
  await symlink(join(code, 'a/b'), join(folder.path, 'link'));
  expect(await findCheckoutRoot(join(code, 'a/b'))).toBe(code);
  expect(await findCheckoutRoot(join(folder.path, 'link'))).toBe(code);
  expect(await findCheckoutRoot(folder.path)).toBeNull();
  expect(await findCheckoutRoot(join(folder.path, 'missing'))).toBeNull();
});
