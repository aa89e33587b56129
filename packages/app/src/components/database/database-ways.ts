// Which ways may lead to the server of a database component, from what Docker says of its container. Nothing is tried here.

import { posix } from 'node:path';
import { mountHolding, type Container, type DockerEngine } from '@varve/docker';
import type { ConnectOptions } from '@varve/postgres';
import { containerRelay } from './container-relay.ts';
import type { DatabaseAccess } from './database-access.ts';
import type { DatabaseWay, MissingWay } from './database-way.ts';

export interface DatabaseWays {
  readonly ways: readonly DatabaseWay[];
  readonly missing: readonly MissingWay[];
}

/** Of an address where nothing answers the next way must be tried soon. */
const networkTimeoutMs = 5000;
const relayTimeoutMs = 20_000;
/** Folders in which images put the server's socket; the first two are one by a link. */
const socketFolders = ['/var/run/postgresql', '/run/postgresql', '/tmp'];

/** All ways to the server of a component, best first. */
export async function databaseWays(access: DatabaseAccess, signal: AbortSignal): Promise<DatabaseWays> {
  const { container, docker, location, target } = access;
  if (location !== null) return { ways: [{ kind: 'url', options: location, needsProof: false }], missing: [] };
  if (container === null || docker === null) return { ways: [], missing: [] };
  if (container.state !== 'running') {
    return { ways: [], missing: [{ kind: 'container', reason: `container ${container.name} is ${container.state}` }] };
  }
  const port = target.port ?? 5432;
  const who = { user: target.user, database: target.database, password: target.password };
  const at = (host: string, atPort: number): ConnectOptions => ({
    ...who,
    host,
    port: atPort,
    connectTimeoutMs: networkTimeoutMs,
  });
  const found: (DatabaseWay | MissingWay)[] = [
    ...networkWays(container, port, at),
    ...publishedWays(container, port, { docker, at }),
  ];
  const socketPath = await socketFolder({ container, docker, port, signal });
  found.push(
    typeof socketPath === 'string'
      ? { kind: 'unix-socket', options: { ...at('localhost', port), socketPath }, needsProof: true }
      : socketPath,
  );
  for (const to of ['port', 'socket'] as const) {
    const stream = containerRelay(docker, container, { port, to });
    const options = { ...at('localhost', port), stream, tls: 'disable', connectTimeoutMs: relayTimeoutMs } as const;
    found.push({ kind: 'container', options, needsProof: false });
  }
  return {
    ways: found.filter((way) => 'options' in way),
    missing: found.filter((way) => 'reason' in way),
  };
}

type At = (host: string, port: number) => ConnectOptions;

function networkWays(container: Container, port: number, at: At): readonly (DatabaseWay | MissingWay)[] {
  const addresses = container.networks.flatMap(({ ipAddress }) => ipAddress ?? []);
  if (addresses.length === 0) {
    return [{ kind: 'network', reason: `the container has no address of its own (network ${container.networkMode})` }];
  }
  return addresses.map((host) => ({ kind: 'network', options: at(host, port), needsProof: true }));
}

function publishedWays(
  container: Container,
  port: number,
  { docker, at }: { readonly docker: DockerEngine; readonly at: At },
): readonly (DatabaseWay | MissingWay)[] {
  const engineHost = engineHostOf(docker);
  const published =
    container.networkMode === 'host'
      ? [{ hostIp: undefined, hostPort: port }]
      : container.ports.filter((entry) => entry.containerPort === port && entry.protocol === 'tcp');
  const places = published.flatMap(({ hostIp, hostPort }) => {
    const isEverywhere = hostIp === undefined || hostIp === '0.0.0.0' || hostIp === '::';
    return hostPort === undefined ? [] : [{ host: isEverywhere ? engineHost : hostIp, port: hostPort }];
  });
  const distinct = places.filter(
    (place, index) => places.findIndex((other) => other.host === place.host && other.port === place.port) === index,
  );
  if (distinct.length === 0) return [{ kind: 'published-port', reason: `port ${port} is not published` }];
  return distinct.map((place) => ({
    kind: 'published-port',
    options: at(place.host, place.port),
    needsProof: true,
  }));
}

/** Where ports are published: on the machine of the Engine. */
function engineHostOf(docker: DockerEngine): string {
  const url = URL.parse(docker.url);
  return url?.protocol === 'tcp:' ? url.hostname.replace(/^\[(.*)\]$/, '$1') : '127.0.0.1';
}

interface SocketPlace {
  readonly container: Container;
  readonly docker: DockerEngine;
  readonly port: number;
  readonly signal: AbortSignal;
}

/** The folder of the server's socket as seen from here, when it is in a mount that can be read from here. */
async function socketFolder({ container, docker, signal }: SocketPlace): Promise<string | MissingWay> {
  const mounted = socketFolders.flatMap((folder) => {
    const mount = mountHolding(container.mounts, folder);
    return mount === undefined || mount.type === 'tmpfs' ? [] : [{ folder, mount }];
  })[0];
  if (mounted === undefined) return { kind: 'unix-socket', reason: 'no mount of the container holds its socket' };
  const { folder, mount } = mounted;
  const source = await docker.volumeHostPath(mount, { signal });
  if (source === undefined) {
    return { kind: 'unix-socket', reason: `the mount at ${mount.destination} cannot be read from here` };
  }
  return posix.join(source, posix.relative(mount.destination, folder));
}
