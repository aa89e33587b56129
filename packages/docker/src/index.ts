export { connectDocker, DockerEngine } from './engine.ts';
export type { ConnectOptions, EngineVersion } from './connection.ts';
export { resolveEndpoint, endpointUrl, type DockerEndpoint, type EndpointOptions } from './endpoint.ts';
export { ContainerEnvironment } from './container-environment.ts';
export {
  containerFromInspect,
  type Container,
  type ContainerHealth,
  type ContainerMount,
  type ContainerNetwork,
  type ContainerPort,
  type ContainerState,
  type ServiceDependency,
} from './container.ts';
export { appLabel, excludeLabel, type DockerProject } from './discovery.ts';
export { helperLabel, serverLabel } from './labels.ts';
export { detectPostgres, isOdoo, mountHolding, type PostgresService } from './database-detection.ts';
export { startOrder, stopOrder, type DependencyOrder } from './dependency-order.ts';
export type { LogOptions, StopOptions } from './control.ts';
export type { WaitHealthyOptions } from './health.ts';
export { commandFailedError } from './exec.ts';
export type { CollectedResult, CollectOptions, ExecOptions, ExecProcess, ExecResult } from './exec-types.ts';
export type { HelperMount, HelperOptions, RunHelperOptions } from './helper-container.ts';
export { helperSource, type EmptyVolumeOptions, type VolumeSpec } from './volumes.ts';
export type { ComposeUpOptions } from './compose-cli.ts';
