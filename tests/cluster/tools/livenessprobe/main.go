// Answers HTTP probes by calling the driver's Probe: a stand-in for the sidecar of this name, which no Go module proxy
// serves. It has the flags that deployments use: 200 where the driver is ready, 500 where it is not or does not answer.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/connection"
	"github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/kubernetes-csi/csi-lib-utils/rpc"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
)

var (
	csiAddress   = flag.String("csi-address", "/run/csi/socket", "path of the driver's socket in this container")
	probeTimeout = flag.Duration("probe-timeout", time.Second, "limit of one Probe call")
	healthPort   = flag.String("health-port", "9808", "port of /healthz on all addresses; --http-endpoint goes before it")
	httpEndpoint = flag.String("http-endpoint", "", "address of /healthz")
)

func probe(parent context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(parent, *probeTimeout)
	defer cancel()
	ready, err := rpc.Probe(ctx, conn)
	if err == nil && !ready {
		err = fmt.Errorf("the driver is not ready")
	}
	return err
}

func main() {
	klog.InitFlags(nil)
	flag.Parse()
	conn, err := connection.Connect(context.Background(), *csiAddress, metrics.NewCSIMetricsManager(""), connection.WithTimeout(0))
	if err != nil {
		klog.Fatal(err)
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, request *http.Request) {
		if err := probe(request.Context(), conn); err != nil {
			klog.ErrorS(err, "Probe failed")
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "ok")
	})
	address := *httpEndpoint
	if address == "" {
		address = ":" + *healthPort
	}
	klog.Fatal(http.ListenAndServe(address, nil))
}
