package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// rogue is a runtime that tries what a runtime must not do. Each invocation answers with the statuses that the
// Runtime API gave to the tricks before it.
func rogue() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	post := func(path, body string) int {
		response, err := http.Post(base+path, "application/json", strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	next := func() (id string, payload string) {
		response, err := http.Get(base + "invocation/next")
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		return response.Header.Get("Lambda-Runtime-Aws-Request-Id"), string(body)
	}
	var statuses []int
	for {
		id, trick := next()
		answer := "invocation/" + id + "/response"
		statuses = append(statuses, post("invocation/of-another/response", "1"), post("invocation/of-another/error", "{}"), post("nothing", ""))
		switch trick {
		case `"forget"`:
			next()
		case `"break off"`:
			request, err := http.NewRequest(http.MethodPost, base+answer, io.MultiReader(strings.NewReader("half of")))
			if err != nil {
				panic(err)
			}
			document := base64.StdEncoding.EncodeToString([]byte(`{"errorType":"ReadError","errorMessage":"the disk is gone"}`))
			request.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": {"ReadError"}, "Lambda-Runtime-Function-Error-Body": {document}}
			if _, err := http.DefaultClient.Do(request); err != nil {
				panic(err)
			}
			continue
		}
		body, err := json.Marshal(statuses)
		if err != nil {
			panic(err)
		}
		statuses = []int{post(answer, string(body)), post(answer, "2"), post("invocation/"+id+"/error", "{}"), post("init/error", "{}")}
		fmt.Println(statuses)
	}
}
