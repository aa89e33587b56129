// OpenStack Swift with its S3 interface (s3api): a real object store, as four processes over a folder, on free loopback
// ports. Swift's “SAIO” set-up in its smallest form: one copy, one device, accounts by tempauth.

import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { freePort, startChildServer, type ChildServer } from './child-server.ts';

export interface SwiftServer extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

const parts = ['account', 'container', 'object'] as const;
const region = 'us-east-1';
const user = 'test:tester';
const secretKey = 'testing';

/** Why there is no Swift here, undefined when there can be one. */
export function swiftServerMissing(): string | undefined {
  const programs = ['swift-proxy-server', 'swift-ring-builder', ...parts.map((part) => `swift-${part}-server`)];
  const missing = programs.filter((program) => !existsSync(join('/usr/bin', program)));
  return missing.length === 0 ? undefined : `OpenStack Swift is not installed (${missing.join(', ')})`;
}

/** `folder` has to be on a file system with extended attributes of users. */
export async function startSwiftServer(folder: string): Promise<SwiftServer> {
  await mkdir(join(folder, 'devices', 'd1'), { recursive: true });
  await writeFile(join(folder, 'swift.conf'), '[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n');
  const [proxyPort, ...partPorts] = await Promise.all([freePort(), ...parts.map(() => freePort())]);
  const ports = Object.fromEntries(parts.map((part, index) => [part, partPorts[index] ?? 0]));
  await execa('/usr/bin/python3', ['-c', buildRings, folder, JSON.stringify(ports)]);
  for (const part of parts)
    await writeFile(join(folder, `${part}.conf`), partConfiguration(folder, part, ports[part] ?? 0));
  await writeFile(join(folder, 'proxy.conf'), proxyConfiguration(folder, proxyPort));
  const starting = await Promise.allSettled([
    ...parts.map((part) => startPart(folder, part, ports[part] ?? 0)),
    startPart(folder, 'proxy', proxyPort),
  ]);
  const servers = starting.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  };
  const failed = starting.find((each) => each.status === 'rejected');
  if (failed) {
    await stop();
    throw failed.reason;
  }
  return { endpoint: `http://127.0.0.1:${proxyPort}`, region, accessKey: user, secretKey, [Symbol.asyncDispose]: stop };
}

/** What \`swift-ring-builder\` does, without three slow starts for each of three rings. */
const buildRings = `
import json, os, sys
from swift.common.ring import RingBuilder
folder, ports = sys.argv[1], json.loads(sys.argv[2])
for part, port in ports.items():
    builder = RingBuilder(4, 1, 1)
    builder.add_dev({'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': port, 'device': 'd1', 'weight': 1.0,
                     'replication_ip': '127.0.0.1', 'replication_port': port, 'meta': ''})
    builder.rebalance()
    builder.get_ring().save(os.path.join(folder, part + '.ring.gz'))
`;

function startPart(folder: string, name: string, port: number): Promise<ChildServer> {
  const options = { program: `swift-${name}-server`, args: [join(folder, `${name}.conf`)] };
  return startChildServer({ ...options, port, startLimitMs: 60_000 });
}

function partConfiguration(folder: string, part: string, port: number): string {
  return [
    ...defaults(folder, port),
    `devices = ${join(folder, 'devices')}`,
    'mount_check = false',
    '[pipeline:main]',
    `pipeline = ${part}-server`,
    `[app:${part}-server]`,
    `use = egg:swift#${part}`,
    'fallocate_reserve = 0',
    '',
  ].join('\n');
}

function defaults(folder: string, port: number): string[] {
  return [
    '[DEFAULT]',
    'bind_ip = 127.0.0.1',
    `bind_port = ${port}`,
    // In the process itself, so that ending it ends everything.
    'workers = 0',
    `user = ${userInfo().username}`,
    `swift_dir = ${folder}`,
    'log_address = /nonexistent',
  ];
}

function proxyConfiguration(folder: string, port: number): string {
  return [
    ...defaults(folder, port),
    '[pipeline:main]',
    'pipeline = catch_errors gatekeeper cache s3api tempauth bulk slo dlo proxy-server',
    '[app:proxy-server]',
    'use = egg:swift#proxy',
    'account_autocreate = true',
    '[filter:catch_errors]',
    'use = egg:swift#catch_errors',
    '[filter:gatekeeper]',
    'use = egg:swift#gatekeeper',
    // A cache has to be configured; that nobody listens there only makes it slower.
    '[filter:cache]',
    'use = egg:swift#memcache',
    'memcache_servers = 127.0.0.1:1',
    '[filter:s3api]',
    'use = egg:swift#s3api',
    `location = ${region}`,
    '[filter:tempauth]',
    'use = egg:swift#tempauth',
    `user_test_tester = ${secretKey} .admin`,
    '[filter:bulk]',
    'use = egg:swift#bulk',
    '[filter:slo]',
    'use = egg:swift#slo',
    '[filter:dlo]',
    'use = egg:swift#dlo',
    '',
  ].join('\n');
}
