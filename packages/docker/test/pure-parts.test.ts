import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ContainerEnvironment,
  detectPostgres,
  isOdoo,
  startOrder,
  stopOrder,
  type Container,
  type ContainerMount,
} from '../src/index.ts';
import { composeDependencies, composeFilePaths } from '../src/compose-file.ts';
import { parseDependsOn } from '../src/container.ts';
import { translateThroughMounts } from '../src/host-paths.ts';
import { FrameDecoder } from '../src/stream-frames.ts';
import { TextTail } from '../src/text-tail.ts';
import { ByteQueue } from '../src/byte-queue.ts';

function container(
  facts: Omit<Partial<Container>, 'environment'> & { service: string; env?: readonly string[] },
): Container {
  return {
    id: `id-${facts.service}`,
    name: `app-${facts.service}-1`,
    image: 'busybox',
    imageId: 'sha256:0',
    imageDigest: undefined,
    state: 'running',
    health: 'none',
    hasHealthcheck: false,
    exitCode: 0,
    startedAt: '',
    restartCount: 0,
    labels: {},
    networkMode: 'default',
    networks: [],
    ports: [],
    mounts: [],
    dependsOn: [],
    restartPolicy: 'no',
    entrypoint: [],
    command: [],
    user: '',
    ...facts,
    environment: new ContainerEnvironment(facts.env ?? []),
  };
}

function needs(...services: readonly string[]) {
  return services.map((service) => ({ service, condition: 'service_started' }));
}

function volume(destination: string, name = 'data'): ContainerMount {
  return {
    type: 'volume',
    name,
    source: `/var/lib/docker/volumes/${name}/_data`,
    destination,
    readWrite: true,
    driver: 'local',
  };
}

describe('the order of containers', () => {
  test('starts what is depended on first and stops it last', () => {
    const containers = [
      container({ service: 'web', dependsOn: needs('db', 'cache') }),
      container({ service: 'db' }),
      container({ service: 'cache', dependsOn: needs('db') }),
      container({ service: 'proxy', networkMode: 'container:id-web' }),
    ];
    expect(startOrder(containers).order.map((one) => one.service)).toEqual(['db', 'cache', 'web', 'proxy']);
    expect(stopOrder(containers).order.map((one) => one.service)).toEqual(['proxy', 'web', 'cache', 'db']);
  });

  test('reports a circle and still orders everything', () => {
    const containers = [
      container({ service: 'a', dependsOn: needs('b') }),
      container({ service: 'b', dependsOn: needs('a') }),
      container({ service: 'c', dependsOn: needs('a') }),
    ];
    const { order, cycles } = startOrder(containers);
    expect(cycles).toEqual([['a', 'b']]);
    expect(order.map((one) => one.service)).toEqual(['a', 'b', 'c']);
  });

  test('ignores dependencies outside of the app and between replicas', () => {
    const containers = [
      container({ service: 'web', id: '1', name: 'web-1', dependsOn: needs('elsewhere', 'web') }),
      container({ service: 'web', id: '2', name: 'web-2', dependsOn: needs('elsewhere', 'web') }),
    ];
    expect(startOrder(containers)).toMatchObject({ cycles: [], order: [{ name: 'web-1' }, { name: 'web-2' }] });
  });

  test('holds every dependency of any acyclic app, whatever the order it comes in', () => {
    const apps = fc
      .uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 12 })
      .chain((services) =>
        fc.tuple(...services.map((_, index) => fc.subarray(services.slice(0, index)))).chain((dependencies) => {
          const containers = services.map((service, index) =>
            container({ service, dependsOn: needs(...(dependencies[index] ?? [])) }),
          );
          return fc.tuple(fc.constant(containers), fc.shuffledSubarray(containers, { minLength: containers.length }));
        }),
      );
    fc.assert(
      fc.property(apps, ([containers, shuffled]) => {
        const { order, cycles } = startOrder(shuffled);
        const position = new Map(order.map((one, index) => [one.service, index]));
        expect(cycles).toEqual([]);
        expect(order).toEqual(startOrder(containers).order);
        for (const one of order) {
          for (const { service } of one.dependsOn)
            expect(position.get(service)).toBeLessThan(position.get(one.service) ?? -1);
        }
      }),
    );
  });

  test('is found in Compose files of both forms', () => {
    const found = composeDependencies(`
services:
  db: { image: postgres }
  web:
    depends_on: { db: { condition: service_healthy } }
    links: ["cache:redis"]
  vpn-client: { network_mode: "service:web", depends_on: [db] }
`);
    expect(found.get('web')).toEqual([{ service: 'db', condition: 'service_healthy' }, ...needs('cache')]);
    expect(found.get('vpn-client')).toEqual(needs('db', 'web'));
    expect(composeDependencies('- not\n- compose')).toEqual(new Map());
    expect(composeDependencies('a: [')).toEqual(new Map());
  });

  test('is found in the label of Compose 2', () => {
    expect(parseDependsOn('db:service_healthy:false,web:service_started:true')).toEqual([
      { service: 'db', condition: 'service_healthy' },
      ...needs('web'),
    ]);
    expect(parseDependsOn('')).toEqual([]);
  });

  test('finds the files of docker-compose 1 under its working folder', () => {
    expect(composeFilePaths('docker-compose.yml,/etc/over.yml', '/srv/shop')).toEqual([
      '/srv/shop/docker-compose.yml',
      '/etc/over.yml',
    ]);
  });
});

describe('PostgreSQL', () => {
  test('of the official image: user, password, database and data mount', () => {
    const env = [
      'POSTGRES_USER=odoo',
      'POSTGRES_PASSWORD=s3cret',
      'POSTGRES_DB=postgres',
      'PGDATA=/var/lib/postgresql/data/pgdata',
    ];
    const found = detectPostgres(
      container({
        service: 'db',
        image: 'registry:5000/library/postgres:16-alpine@sha256:abc',
        env,
        mounts: [volume('/var/lib/postgresql/data')],
      }),
    );
    expect(found).toMatchObject({
      user: 'odoo',
      database: 'postgres',
      port: 5432,
      dataPath: '/var/lib/postgresql/data/pgdata',
      dataMount: { name: 'data' },
    });
    expect(found?.password?.reveal()).toBe('s3cret');
    expect(inspect(found, { depth: 9 })).not.toContain('s3cret');
    expect(JSON.stringify(found)).not.toContain('s3cret');
  });

  test('18 keeps its data in a folder of its major version', () => {
    expect(detectPostgres(container({ service: 'db', image: 'postgres:18' }))?.dataPath).toBe(
      '/var/lib/postgresql/18/docker',
    );
    expect(detectPostgres(container({ service: 'db', image: 'postgres:17.2' }))?.dataPath).toBe(
      '/var/lib/postgresql/data',
    );
  });

  test('of an unknown image needs two marks', () => {
    const env = ['POSTGRES_PASSWORD=x'];
    const ports = [{ containerPort: 5432, protocol: 'tcp', hostIp: undefined, hostPort: undefined }];
    expect(detectPostgres(container({ service: 'app', image: 'acme/shop:1', env }))).toBeUndefined();
    expect(detectPostgres(container({ service: 'db', image: 'acme/database:1', env, ports }))).toMatchObject({
      user: 'postgres',
    });
  });

  test('is not a pooler, an exporter, or a database image that runs something else', () => {
    const env = ['POSTGRES_USER=a', 'PGDATA=/var/lib/postgresql/data'];
    const ports = [{ containerPort: 5432, protocol: 'tcp', hostIp: undefined, hostPort: undefined }];
    expect(detectPostgres(container({ service: 'pool', image: 'edoburu/pgbouncer', env, ports }))).toBeUndefined();
    expect(
      detectPostgres(
        container({
          service: 'cron',
          image: 'postgres:16',
          env,
          command: ['sh', '/backup.sh'],
          mounts: [volume('/var/lib/postgresql/data', 'f'.repeat(64))],
        }),
      ),
    ).toBeUndefined();
    const shell = { service: 'web', image: 'postgres:16', entrypoint: ['/bin/sh', '-c', 'while :; do sleep 1; done'] };
    expect(detectPostgres(container(shell))).toBeUndefined();
    const wrapped = { ...shell, entrypoint: ['bash', '-c', '/init.sh && exec docker-entrypoint.sh postgres'] };
    expect(detectPostgres(container(wrapped))).toBeDefined();
    expect(
      detectPostgres(container({ service: 'db', image: 'postgres:16', env, command: ['-c', 'wal_level=logical'] })),
    ).toBeDefined();
    expect(
      detectPostgres(
        container({
          service: 'db',
          image: 'postgres:16',
          env,
          command: ['sh', '-c', 'exec docker-entrypoint.sh postgres'],
        }),
      ),
    ).toBeDefined();
  });

  test('with a password file names the file', () => {
    const found = detectPostgres(
      container({ service: 'db', image: 'postgres:16', env: ['POSTGRES_PASSWORD_FILE=/run/secrets/db'] }),
    );
    expect(found).toMatchObject({ password: undefined, passwordFile: '/run/secrets/db', dataMount: undefined });
  });

  test('is kept apart from Odoo', () => {
    const odoo = container({
      service: 'odoo',
      image: 'odoo:17.0',
      env: ['HOST=db', 'USER=odoo', 'PASSWORD=x', 'ODOO_RC=/etc/odoo/odoo.conf'],
    });
    expect(isOdoo(odoo)).toBe(true);
    expect(detectPostgres(odoo)).toBeUndefined();
    expect(isOdoo(container({ service: 'mine', image: 'acme/erp', mounts: [volume('/var/lib/odoo')] }))).toBe(true);
  });
});

describe('a container environment', () => {
  test('prints names and never values', () => {
    const environment = new ContainerEnvironment(['PGPASSWORD=hunter2', 'EMPTY=', 'WITH=a=b', 'BARE']);
    for (const text of [inspect(environment), String(environment), JSON.stringify({ environment })]) {
      expect(text).toContain('PGPASSWORD');
      expect(text).not.toContain('hunter2');
    }
    expect(environment.get('WITH')).toBe('a=b');
    expect(environment.secret('EMPTY')).toBeUndefined();
    expect(environment.secret('PGPASSWORD')?.reveal()).toBe('hunter2');
  });
});

describe('stream frames', () => {
  test('are decoded whatever the borders of the chunks', () => {
    const frames = fc.array(fc.record({ stderr: fc.boolean(), data: fc.uint8Array({ maxLength: 40 }) }), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 30 }), (list, size) => {
        const bytes = Buffer.concat(list.flatMap(({ stderr, data }) => [header(stderr ? 2 : 1, data.length), data]));
        const decoder = new FrameDecoder();
        const out = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
        for (let at = 0; at < bytes.length; at += size) {
          for (const piece of decoder.push(bytes.subarray(at, at + size))) out[piece.stream].push(piece.data);
        }
        expect(decoder.isAtBoundary).toBe(true);
        expect(Buffer.concat(out.stdout)).toEqual(
          Buffer.concat(list.filter((one) => !one.stderr).map((one) => one.data)),
        );
        expect(Buffer.concat(out.stderr)).toEqual(
          Buffer.concat(list.filter((one) => one.stderr).map((one) => one.data)),
        );
      }),
    );
  });

  test('of an unknown type are refused, and a cut one is noticed', () => {
    expect(() => new FrameDecoder().push(Buffer.from('plain text of a terminal'))).toThrow(/unknown type/);
    const decoder = new FrameDecoder();
    decoder.push(header(1, 10));
    expect(decoder.isAtBoundary).toBe(false);
  });

  function header(type: number, length: number): Buffer {
    const bytes = Buffer.alloc(8);
    bytes[0] = type;
    bytes.writeUInt32BE(length, 4);
    return bytes;
  }
});

describe('small parts', () => {
  test('a tail keeps the last bytes', () => {
    const tail = new TextTail(10);
    for (let n = 0; n < 1000; n++) tail.push(Buffer.from(`${n},`));
    expect(tail.toString()).toBe('7,998,999,');
  });

  test('a queue hands over every piece before the error that ended it', async () => {
    let drains = 0;
    const queue = new ByteQueue({ limitBytes: 4, onDrain: () => drains++, onAbandoned: () => expect.unreachable() });
    queue.push(Buffer.from('abc'));
    queue.push(Buffer.from('def'));
    expect(queue.isFull).toBe(true);
    queue.end(new Error('broken'));
    const seen: string[] = [];
    await expect(
      (async () => {
        for await (const piece of queue) seen.push(String(piece));
      })(),
    ).rejects.toThrow('broken');
    expect(seen).toEqual(['abc', 'def']);
    expect(drains).toBe(1);
  });

  test('a queue tells its source when the reader leaves early', async () => {
    let isAbandoned = false;
    const queue = new ByteQueue({ limitBytes: 4, onDrain: () => {}, onAbandoned: () => (isAbandoned = true) });
    queue.push(Buffer.from('abc'));
    for await (const _ of queue) break;
    expect(isAbandoned).toBe(true);
  });

  test('host paths go through the mount with the longest source, or nowhere', () => {
    const mounts: readonly ContainerMount[] = [
      {
        type: 'bind',
        name: undefined,
        source: '/var/lib/docker/volumes',
        destination: '/host/volumes',
        readWrite: false,
        driver: undefined,
      },
      {
        type: 'bind',
        name: undefined,
        source: '/var/lib',
        destination: '/host/lib',
        readWrite: false,
        driver: undefined,
      },
    ];
    expect(translateThroughMounts('/var/lib/docker/volumes/shop/_data', mounts)).toBe('/host/volumes/shop/_data');
    expect(translateThroughMounts('/var/lib/docker/volumes-old', mounts)).toBe('/host/lib/docker/volumes-old');
    expect(translateThroughMounts('/var/libx', mounts)).toBeUndefined();
    expect(translateThroughMounts('/var/lib/../../etc/shadow', mounts)).toBeUndefined();
  });
});
