// What we know of a container: plain facts out of `docker inspect`, with the Engine's optional fields made definite.
// Source: Docker Engine API 1.41, ContainerInspect.

import type { ContainerInspectInfo } from 'dockerode';
import { ContainerEnvironment } from './container-environment.ts';

export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';
export type ContainerHealth = 'none' | 'starting' | 'healthy' | 'unhealthy';

export interface ContainerMount {
  readonly type: 'volume' | 'bind' | 'tmpfs' | 'other';
  /** The volume's name; undefined for binds. Anonymous volumes have a 64-digit hexadecimal name. */
  readonly name: string | undefined;
  /** Path on the engine's host. Empty for tmpfs. */
  readonly source: string;
  /** Path in the container. */
  readonly destination: string;
  readonly readWrite: boolean;
  readonly driver: string | undefined;
}

export interface ContainerNetwork {
  readonly name: string;
  /** Undefined while the container does not run. */
  readonly ipAddress: string | undefined;
  readonly aliases: readonly string[];
}

export interface ContainerPort {
  readonly containerPort: number;
  readonly protocol: string;
  /** Undefined when the port is exposed and not published. */
  readonly hostIp: string | undefined;
  readonly hostPort: number | undefined;
}

export interface ServiceDependency {
  readonly service: string;
  /** Compose's condition (`service_started`, `service_healthy`, `service_completed_successfully`). */
  readonly condition: string;
}

export interface Container {
  readonly id: string;
  readonly name: string;
  /** Compose service; the container's name where there is none. */
  readonly service: string;
  /** The image as it was asked for (`postgres:16`). */
  readonly image: string;
  readonly imageId: string;
  /** `repository@sha256:…`; undefined for images that were never pulled from or pushed to a registry. */
  readonly imageDigest: string | undefined;
  readonly state: ContainerState;
  readonly health: ContainerHealth;
  readonly hasHealthcheck: boolean;
  readonly exitCode: number;
  readonly startedAt: string;
  readonly restartCount: number;
  readonly environment: ContainerEnvironment;
  readonly labels: Readonly<Record<string, string>>;
  /** As in `HostConfig.NetworkMode`: a network's name, `host`, `none`, `container:<id>`. */
  readonly networkMode: string;
  readonly networks: readonly ContainerNetwork[];
  readonly ports: readonly ContainerPort[];
  readonly mounts: readonly ContainerMount[];
  readonly dependsOn: readonly ServiceDependency[];
  readonly restartPolicy: string;
  /** What was asked for after the entry point (`Config.Cmd`); empty when the entry point says it all. */
  /** The image's, or what replaces it. */
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** As configured (`name`, `uid`, `uid:gid`); empty means the image's, mostly root. */
  readonly user: string;
}

export const composeLabels = {
  project: 'com.docker.compose.project',
  service: 'com.docker.compose.service',
  workingDir: 'com.docker.compose.project.working_dir',
  configFiles: 'com.docker.compose.project.config_files',
  dependsOn: 'com.docker.compose.depends_on',
  oneOff: 'com.docker.compose.oneoff',
} as const;

/** Facts of one container. `imageDigest` comes from the image, which `docker inspect` of the container does not hold. */
export function containerFromInspect(info: ContainerInspectInfo, imageDigest: string | undefined): Container {
  const labels = info.Config.Labels ?? {};
  const name = info.Name.replace(/^\//, '');
  return {
    id: info.Id,
    name,
    service: labels[composeLabels.service] ?? name,
    image: info.Config.Image,
    imageId: info.Image,
    imageDigest,
    state: info.State.Status as ContainerState,
    health: (info.State.Health?.Status as ContainerHealth | undefined) ?? 'none',
    hasHealthcheck: info.State.Health !== undefined && info.State.Health.Status !== 'none',
    exitCode: info.State.ExitCode,
    startedAt: info.State.StartedAt,
    restartCount: info.RestartCount,
    environment: new ContainerEnvironment(info.Config.Env ?? []),
    labels,
    networkMode: info.HostConfig.NetworkMode ?? 'default',
    networks: networksOf(info),
    ports: portsOf(info),
    mounts: (info.Mounts ?? []).map(mountOf),
    dependsOn: parseDependsOn(labels[composeLabels.dependsOn] ?? ''),
    restartPolicy: info.HostConfig.RestartPolicy?.Name || 'no',
    entrypoint: entrypointOf(info.Config.Entrypoint),
    command: info.Config.Cmd ?? [],
    user: info.Config.User ?? '',
  };
}

/** Compose v2 writes `db:service_healthy:false,web:service_started:true`. */
export function parseDependsOn(label: string): readonly ServiceDependency[] {
  return label
    .split(',')
    .map((item) => item.trim().split(':'))
    .filter(([service]) => service !== undefined && service !== '')
    .map(([service, condition]) => ({ service: service ?? '', condition: condition ?? 'service_started' }));
}

function networksOf(info: ContainerInspectInfo): readonly ContainerNetwork[] {
  return Object.entries(info.NetworkSettings.Networks ?? {}).map(([name, network]) => ({
    name,
    ipAddress: network.IPAddress || network.GlobalIPv6Address || undefined,
    aliases: (network.Aliases as string[] | null | undefined) ?? [],
  }));
}

function portsOf(info: ContainerInspectInfo): readonly ContainerPort[] {
  const published = {
    ...toPortMap(info.Config.ExposedPorts),
    ...toPortMap(info.HostConfig.PortBindings),
    ...info.NetworkSettings.Ports,
  } as Record<string, { HostIp?: string; HostPort?: string }[] | null | undefined>;
  return Object.entries(published).flatMap(([key, bindings]) => {
    const [port, protocol] = key.split('/');
    const base = { containerPort: Number(port), protocol: protocol ?? 'tcp' };
    if (!Array.isArray(bindings) || bindings.length === 0) return [{ ...base, hostIp: undefined, hostPort: undefined }];
    return bindings.map((binding) => ({
      ...base,
      hostIp: binding.HostIp || undefined,
      hostPort: binding.HostPort ? Number(binding.HostPort) : undefined,
    }));
  });
}

function toPortMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function mountOf(mount: ContainerInspectInfo['Mounts'][number]): ContainerMount {
  const known = mount.Type === 'volume' || mount.Type === 'bind' || mount.Type === 'tmpfs' ? mount.Type : 'other';
  return {
    type: known,
    name: mount.Name || undefined,
    source: mount.Source ?? '',
    destination: mount.Destination,
    readWrite: mount.RW,
    driver: mount.Driver || undefined,
  };
}

/** The Engine has it as a list, as one text in old images, or not at all. */
function entrypointOf(entrypoint: string | readonly string[] | null | undefined): readonly string[] {
  if (entrypoint === null || entrypoint === undefined) return [];
  return typeof entrypoint === 'string' ? [entrypoint] : entrypoint;
}
