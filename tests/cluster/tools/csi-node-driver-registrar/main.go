// Registers a CSI driver with kubelet: a stand-in for the sidecar of this name, which no Go module proxy serves.
// It has the flags that deployments use and speaks kubelet's plugin registration protocol, version 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/kubernetes-csi/csi-lib-utils/connection"
	"github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/kubernetes-csi/csi-lib-utils/rpc"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

var (
	csiAddress       = flag.String("csi-address", "/run/csi/socket", "path of the driver's socket in this container")
	kubeletPath      = flag.String("kubelet-registration-path", "", "path of the driver's socket on the host")
	registrationPath = flag.String("plugin-registration-path", "/registration", "kubelet's folder of registration sockets in this container")
	mode             = flag.String("mode", "", "kubelet-registration-probe: end successfully at once")
	httpEndpoint     = flag.String("http-endpoint", "", "address of /healthz")
)

// registration is what kubelet asks.
type registration struct {
	registerapi.UnimplementedRegistrationServer
	driver string
}

func (r *registration) GetInfo(context.Context, *registerapi.InfoRequest) (*registerapi.PluginInfo, error) {
	return &registerapi.PluginInfo{
		Type:              registerapi.CSIPlugin,
		Name:              r.driver,
		Endpoint:          *kubeletPath,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus ends the process where kubelet refused, so that the container is started again.
func (r *registration) NotifyRegistrationStatus(_ context.Context, status *registerapi.RegistrationStatus) (*registerapi.RegistrationStatusResponse, error) {
	klog.InfoS("Registration", "registered", status.PluginRegistered, "error", status.Error)
	if !status.PluginRegistered {
		os.Exit(1)
	}
	return &registerapi.RegistrationStatusResponse{}, nil
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	driver, err := driverName(ctx)
	if err != nil {
		return err
	}
	socket := filepath.Join(*registrationPath, driver+"-reg.sock")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	registerapi.RegisterRegistrationServer(server, &registration{driver: driver})
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	return server.Serve(listener)
}

// driverName waits for the driver's socket as long as it takes.
func driverName(ctx context.Context) (string, error) {
	conn, err := connection.Connect(ctx, *csiAddress, metrics.NewCSIMetricsManager(""), connection.WithTimeout(0))
	if err != nil {
		return "", fmt.Errorf("connect to the driver: %w", err)
	}
	defer conn.Close()
	return rpc.GetDriverName(ctx, conn)
}

func main() {
	klog.InitFlags(nil)
	flag.Parse()
	if *mode == "kubelet-registration-probe" {
		return
	}
	if *httpEndpoint != "" {
		http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
		go func() { klog.Fatal(http.ListenAndServe(*httpEndpoint, nil)) }()
	}
	if err := run(); err != nil {
		klog.Fatal(err)
	}
}
